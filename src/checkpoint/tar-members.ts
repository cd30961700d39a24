import { MlfsError } from '../errors.ts';
import type { ByteSource } from '../storage/byte-source.ts';
import { quoteName } from '../visible-text.ts';

/** The place of a regular file's bytes in a tar archive. */
export interface TarMember {
  readonly offset: number;
  readonly size: number;
}

const BLOCK = 512;
/** torch's oldest files have four members. */
const MAX_MEMBERS = 10_000;

/** The regular files of a tar archive by name (POSIX ustar and GNU). Throws ERR_MLFS_FORMAT or ERR_MLFS_TRUNCATED. */
export async function readTarMembers(source: ByteSource): Promise<Map<string, TarMember>> {
  const members = new Map<string, TarMember>();
  for (let at = 0, count = 0; at + BLOCK <= source.size && count < MAX_MEMBERS; count++) {
    const header = await source.read(at, BLOCK);
    if (header.every((byte) => byte === 0)) break;
    // name: 0..99, size: 124..135 in octal, type: 156, prefix: 345..499
    const name = [text(header, 345, 500), text(header, 0, 100)].filter((part) => part !== '').join('/');
    const size = Number.parseInt(text(header, 124, 136).trim() || '0', 8);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new MlfsError(
        'ERR_MLFS_FORMAT',
        `${source.path}: tar header at byte ${at}: the size is not a number`,
        {
          path: source.path,
        },
      );
    }
    const offset = at + BLOCK;
    if (offset + size > source.size) {
      throw new MlfsError(
        'ERR_MLFS_TRUNCATED',
        `${source.path}: tar member ${quoteName(name)} is bytes ${offset} to ${offset + size}, and the file ends at ${source.size}`,
        { path: source.path },
      );
    }
    const type = header[156];
    if (type === 0 || type === 0x30) members.set(name.replace(/^\.\//, ''), { offset, size });
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
  }
  return members;
}

function text(header: Buffer, start: number, end: number): string {
  const field = header.subarray(start, end);
  const nul = field.indexOf(0);
  return field.toString('utf8', 0, nul < 0 ? field.length : nul);
}
