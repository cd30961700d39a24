/**
 * Finishing a commit that was decided and not carried out to its end. The dirty ranges are copied again, which changes nothing where it
 * was done before; a crash in between leaves the same work to the next one.
 *
 * What is written is decided by the file as it was parsed, not by the journal: a commit changes only storages and checksum fields, never
 * what parsing needs, so a file that is half written parses as it did before. The values of the checksums are those of the journal. To compute
 * them would mean to read every entry that was touched, and would hide damage that an entry had before it was edited: its checksum
 * is as wrong after a commit as it was before, and `mlfs verify` goes on to find it.
 */
import { MlfsError } from '../errors.ts';
import { type BaseRecord, holdsChecksums, refuseOfAnotherUser } from './base-record.ts';
import type { FileSpan } from './byte-ranges.ts';
import { decodeCommitNote, structureOf } from './commit-note.ts';
import { confinePieces, refuseForeignPatches } from './confined-edits.ts';
import type { FileStructure } from './file-structure.ts';
import { foldInto } from './fold.ts';
import type { ImageBase } from './image.ts';
import type { Medium } from './medium.ts';
import type { Overlay } from './overlay.ts';
import { identityOf, openBase } from './stale.ts';
import type { StateDirectory } from './state-directory.ts';

/** base.json tells the file by its times where it has no checksums: they must not be older after a power loss. */
export const WITH_TIMES = { times: true } as const;

export interface InterruptedCommit {
  /** What the commit mark says. */
  readonly note: string;
  readonly overlay: Overlay;
}

/** Writes into the file under `base` and nothing else. Throws ERR_MLFS_RECOVERY, with nothing written, when the journal asks for more. */
export async function finishCommit(
  medium: Medium,
  path: string,
  state: StateDirectory,
  base: ImageBase,
  structure: FileStructure,
  interrupted: InterruptedCommit,
): Promise<void> {
  const note = decodeCommitNote(interrupted.note, path);
  const recorded = await state.readBase();
  if (recorded !== undefined) refuseOfAnotherUser(recorded, state.path, path);
  if (recorded === undefined || !isOf(recorded, base, structure) || note.size !== base.size) {
    throw anotherFile(path);
  }
  if (!sameRanges(note.identity, structure.identity)) throw anotherFile(path);
  const pieces = await confinePieces(interrupted.overlay.pieces(), base, structure);
  refuseForeignPatches(note.patches, pieces, path, structure);
  if ((await structureOf(base, note.identity, note.patches)) !== note.structure) throw anotherFile(path);
  const file = await openBase(medium, path, base, { begun: true });
  try {
    await foldInto(file, pieces, note.patches, () => undefined);
    await file.sync(WITH_TIMES);
    const identity = await identityOf(file, recorded);
    await state.writeBase({ ...recorded, ...identity, ...OWN_USER, structure: note.structure });
  } finally {
    await file.close();
  }
}

/** The user that base.json names: who runs this process. */
export const OWN_USER: { readonly uid: number } = { uid: process.geteuid?.() ?? 0 };

/**
 * Whether the journal is of this file. Its times have changed with the commit, and its structure is compared with the note's. Where that holds no
 * checksums of the contents, files of one model after another have the same: there it must be the very file.
 */
function isOf({ size, ino }: BaseRecord, base: ImageBase, structure: FileStructure): boolean {
  return size === base.size && (holdsChecksums(structure) || ino === String(base.fingerprint.ino));
}

function sameRanges(a: readonly FileSpan[], b: readonly FileSpan[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ offset, length }, index) => offset === b[index]?.offset && length === b[index]?.length)
  );
}

function anotherFile(path: string): MlfsError {
  return new MlfsError(
    'ERR_MLFS_RECOVERY',
    `${path}: a commit was interrupted, and this is not the file that it was for`,
    {
      path,
      advice: `put the file back that was there, or drop the edits: mlfs discard ${path}`,
    },
  );
}
