import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { MlfsError, messageOf } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import type { ZipEntry } from './entry.ts';
import { refuse } from './refusal.ts';

const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(inflateRaw);

/**
 * The whole content of one small entry (a pickle, a record, code), inflated off the event loop.
 * Throws ERR_MLFS_LIMIT above `limitBytes`, ERR_MLFS_ZIP when the data does not inflate to the declared size.
 */
export async function readEntry(image: ByteSource, entry: ZipEntry, limitBytes: number): Promise<Buffer> {
  // An incompressible run grows by 5 bytes in 16 KiB; what is far above that is padding against the reader.
  const compressedLimit = limitBytes + limitBytes / 1000 + 64;
  if (entry.size > limitBytes || entry.compressedSize > compressedLimit) {
    const size = Math.max(entry.size, entry.compressedSize);
    throw refuse('ERR_MLFS_LIMIT', image.path, entry.name, `has ${size} bytes; the limit is ${limitBytes}`);
  }
  const bytes = await image.read(entry.offset, entry.compressedSize);
  if (entry.method === 'stored') return bytes;
  let output: Buffer;
  try {
    output = await inflate(bytes, { maxOutputLength: Math.max(1, entry.size) });
  } catch (cause) {
    throw inflateError(image.path, entry, cause);
  }
  if (output.length !== entry.size) {
    throw refuse(
      'ERR_MLFS_ZIP',
      image.path,
      entry.name,
      `inflates to ${output.length} bytes, not to the ${entry.size} it declares`,
    );
  }
  return output;
}

function inflateError(path: string, entry: ZipEntry, cause: unknown): MlfsError {
  const code = (cause as NodeJS.ErrnoException).code;
  const reason =
    code === 'ERR_BUFFER_TOO_LARGE'
      ? `inflates to more than the ${entry.size} bytes it declares`
      : `cannot be inflated: ${messageOf(cause)}`;
  const refusal = refuse('ERR_MLFS_ZIP', path, entry.name, reason);
  return new MlfsError(refusal.code, refusal.message, { path, cause });
}
