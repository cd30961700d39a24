import { type BigIntStats, fstat } from 'node:fs';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import type { ImageBase } from './image.ts';
import type { Medium, MediumFile } from './medium.ts';
import type { BaseRecord } from './state-directory.ts';

const statOf = promisify(fstat) as (fd: number, options: { bigint: true }) => Promise<BigIntStats>;

/**
 * Opens the file under an image for writing. Throws ERR_MLFS_STALE when the name leads to another file than the one that was opened, or
 * somebody else changed it; by ourselves it may have been changed when a commit has `begun`. On a medium that has no descriptors
 * a file is never stale.
 */
export async function openBase(
  medium: Medium,
  path: string,
  base: ImageBase,
  { begun }: { readonly begun: boolean },
): Promise<MediumFile> {
  const file = await medium.open(path, 'write');
  try {
    const reason =
      file.fd === undefined ? undefined : difference(await statOf(file.fd, { bigint: true }), base, begun);
    if (reason === undefined) return file;
    throw new MlfsError('ERR_MLFS_STALE', `${path}: ${reason} since it was opened`, {
      path,
      advice: 'keep the edits: mlfs commit --to NEW.pt; or drop them: mlfs discard',
    });
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

function difference(now: BigIntStats, { fingerprint }: ImageBase, begun: boolean): string | undefined {
  if (now.dev !== fingerprint.dev || now.ino !== fingerprint.ino) return 'was replaced by another file';
  const changed = now.size !== BigInt(fingerprint.size) || (!begun && now.mtimeNs !== fingerprint.mtimeNs);
  return changed ? 'was changed by somebody else' : undefined;
}

/** What base.json says of an open file; of one that is no file of this system, what it said before. */
export async function identityOf(
  file: MediumFile,
  recorded: BaseRecord,
): Promise<Pick<BaseRecord, 'ino' | 'mtimeNs'>> {
  if (file.fd === undefined) return recorded;
  const now = await statOf(file.fd, { bigint: true });
  return { ino: String(now.ino), mtimeNs: String(now.mtimeNs) };
}
