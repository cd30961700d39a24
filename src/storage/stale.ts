import { fstat, stat } from 'node:fs';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import type { ImageBase } from './image.ts';
import type { MediumFile } from './medium.ts';
import type { BaseRecord } from './state-directory.ts';

const statOf = promisify(stat);
const statOfDescriptor = promisify(fstat);

/**
 * Throws ERR_MLFS_STALE when the file of this name is not the one that was opened, or was changed by somebody else. `written`: by
 * ourselves it may have been. A base that is no file of this system is never stale.
 */
export async function refuseChangedBase(
  path: string,
  base: ImageBase,
  { written = false }: { readonly written?: boolean } = {},
): Promise<void> {
  if (base.fd === undefined) return;
  const { dev, ino, size, mtimeNs } = base.fingerprint;
  const now = await statOf(path, { bigint: true }).catch(() => undefined);
  const reason =
    now === undefined
      ? 'is gone'
      : now.dev !== dev || now.ino !== ino
        ? 'was replaced by another file'
        : now.size !== BigInt(size) || (!written && now.mtimeNs !== mtimeNs)
          ? 'was changed by somebody else'
          : undefined;
  if (reason === undefined) return;
  throw new MlfsError('ERR_MLFS_STALE', `${path}: ${reason} since it was opened`, {
    path,
    advice: 'keep the edits: mlfs commit --to NEW.pt; or drop them: mlfs discard',
  });
}

/** What base.json says of an open file; of one that is no file of this system, what it said before. */
export async function identityOf(
  file: MediumFile,
  recorded: BaseRecord,
): Promise<Pick<BaseRecord, 'ino' | 'mtimeNs'>> {
  if (file.fd === undefined) return recorded;
  const now = await statOfDescriptor(file.fd, { bigint: true });
  return { ino: String(now.ino), mtimeNs: String(now.mtimeNs) };
}
