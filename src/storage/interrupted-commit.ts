/**
 * Finishing a commit that was decided and not carried out to its end. The dirty ranges are copied again, which changes nothing where it
 * was done before; a crash in between leaves the same work to the next process.
 *
 * What is written is decided by the file as it was parsed, not by the journal: a commit changes only storages and checksum fields, never
 * what parsing needs, so a file that is half written parses as it did before. The values of the checksums are those of the journal. To compute
 * them would mean to read every entry that was touched, and would hide damage that an entry had before it was edited: its checksum
 * is as wrong after a commit as it was before, and `mlfs verify` goes on to find it.
 */
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
    const bytes = pieces.reduce((sum, { start, end }) => sum + (end - start), 0);
    await foldInto(file, { pieces, bytes }, patches, () => undefined);
    await file.sync(WITH_TIMES);
    const identity = await identityOf(file, recorded);
    await state.writeBase({ ...recorded, ...identity, ...OWN_USER, structure: note.structure });
  } finally {
    await file.close();
  }
}
