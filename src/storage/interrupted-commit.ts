import { type AdmittedCommit, admitInterrupted, type InterruptedCommit } from './admit-edits.ts';
import { OWN_USER } from './base-record.ts';
import type { FileStructure } from './file-structure.ts';
import { foldInto } from './fold.ts';
import type { ImageBase } from './image.ts';
import type { Medium } from './medium.ts';
import { identityOf, openBase } from './stale.ts';
import type { StateDirectory } from './state-directory.ts';

/** Without checksums, base.json identifies the file by its times, which must not go back after a power loss. */
export const WITH_TIMES = { times: true } as const;

/**
 * Finishes a commit in the file under `file` and writes nothing else. Throws ERR_MLFS_RECOVERY before writing when the journal asks for
 * more.
 */
export async function finishCommit(
  medium: Medium,
  path: string,
  state: StateDirectory,
  file: ImageBase,
  structure: FileStructure,
  interrupted: InterruptedCommit,
): Promise<void> {
  const recorded = { stateDirectory: state.path, base: await state.readBase() };
  const admitted = await admitInterrupted(recorded, interrupted, file, structure);
  await carryOut(medium, path, state, file, admitted);
}

async function carryOut(
  medium: Medium,
  path: string,
  state: StateDirectory,
  base: ImageBase,
  { base: recorded, note, pieces, patches }: AdmittedCommit,
): Promise<void> {
  const file = await openBase(medium, path, base, { begun: true });
  try {
    await foldInto(file, pieces, patches, () => undefined);
    await file.sync(WITH_TIMES);
    const identity = await identityOf(file, recorded);
    await state.writeBase({ ...recorded, ...identity, ...OWN_USER, structure: note.structure });
  } finally {
    await file.close();
  }
}
