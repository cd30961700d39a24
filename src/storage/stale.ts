import { type BigIntStats, fstat, stat } from 'node:fs';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import type { BaseRecord } from './base-record.ts';
import type { ImageBase } from './image.ts';
import type { Medium, MediumFile } from './medium.ts';
import { reopen } from './reopen.ts';

type StatOf<T> = (of: T, options: { bigint: true }) => Promise<BigIntStats>;
const statOfDescriptor = promisify(fstat) as StatOf<number>;
const statOfPath = promisify(stat) as StatOf<string>;

/**
 * Opens the file under an image for writing: the file that is open and locked, wherever its name leads now. Throws ERR_MLFS_STALE when the
 * name leads to another file, because nobody would find the commit there, or when another process changed the file. When a commit has
 * `begun`, our own changes are expected. On a medium without descriptors a file is never stale.
 */
export async function openBase(
  medium: Medium,
  path: string,
  base: ImageBase,
  { begun }: { readonly begun: boolean },
): Promise<MediumFile> {
  if (base.fd === undefined) return medium.open(path, 'write');
  const named = await statOfPath(path, { bigint: true }).catch(() => undefined);
  if (named === undefined) throw staleError(path, 'was removed');
  if (named.dev !== base.fingerprint.dev || named.ino !== base.fingerprint.ino) {
    throw staleError(path, 'was replaced by another file');
  }
  const file = await reopen(base.fd, path, 'write');
  try {
    const now = await statOfDescriptor(file.fd, { bigint: true });
    const { size, mtimeNs } = base.fingerprint;
    const changed = now.size !== BigInt(size) || (!begun && now.mtimeNs !== mtimeNs);
    if (changed) throw staleError(path, 'was changed by another program');
    return file;
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

function staleError(path: string, reason: string): MlfsError {
  return new MlfsError('ERR_MLFS_STALE', `${path}: ${reason} since it was opened`, {
    path,
    advice: 'keep the edits: mlfs commit --to NEW.pt; or drop them: mlfs discard',
  });
}

/** The base.json record for an open file; on another medium, the previous record. */
export async function identityOf(
  file: MediumFile,
  recorded: BaseRecord,
): Promise<Pick<BaseRecord, 'dev' | 'ino' | 'mtimeNs'>> {
  if (file.fd === undefined) return recorded;
  const now = await statOfDescriptor(file.fd, { bigint: true });
  return { dev: String(now.dev), ino: String(now.ino), mtimeNs: String(now.mtimeNs) };
}
