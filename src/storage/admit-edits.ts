/**
 * The one rule that says whether the edits of a journal may go into a file. A mount, `commit`, `commit --dry-run` and `status` all use it,
 * so that they always agree. Nothing is written here.
 *
 * - The edits were made by this user or by root.
 * - The file is the one that base.json describes: its size and structure are the same. Where the structure holds no checksums of the
 *   contents, the modification time must be the same, too.
 * - An interrupted commit has already changed the file's times and may have changed its checksums. The structure is then compared with that
 *   of the commit mark; where it holds no checksums, the inode must be the same.
 * - The edits change only storages, and the checksums that follow from them.
 */
import { MlfsError } from '../errors.ts';
import type { BaseRecord } from './base-record.ts';
import type { FileSpan } from './byte-ranges.ts';
import type { ChecksumPatch } from './checksums.ts';
import { type CommitNote, decodeCommitNote, structureOf } from './commit-note.ts';
import { confinePieces, refuseForeignPatches } from './confined-edits.ts';
import type { FileStructure } from './file-structure.ts';
import type { ImageBase } from './image.ts';
import type { Overlay, Piece } from './overlay.ts';

/** The open file that the edits are to go into. */
export type EditedFile = Pick<ImageBase, 'path' | 'size' | 'fingerprint' | 'read'>;

/** What a state directory says about its edits. */
export interface RecordedEdits {
  readonly stateDirectory: string;
  /** The contents of base.json; undefined when it does not exist. */
  readonly base: BaseRecord | undefined;
}

/** A commit that an earlier process decided and that may be unfinished. */
export interface InterruptedCommit {
  /** The contents of the commit mark. */
  readonly note: string;
  readonly overlay: Overlay;
}

/** What must be written to finish such a commit. */
export interface AdmittedCommit {
  /** The file that the commit was made for. */
  readonly base: BaseRecord;
  readonly note: CommitNote;
  /** The parts that lie in storages. */
  readonly pieces: readonly Piece[];
  readonly patches: readonly ChecksumPatch[];
}

/** The parts of uncommitted edits that lie in storages of the file. Throws ERR_MLFS_RECOVERY. */
export async function admitUncommitted(
  { base, stateDirectory }: RecordedEdits,
  uncommitted: Overlay,
  file: EditedFile,
  structure: FileStructure,
): Promise<Piece[]> {
  if (uncommitted.empty) return [];
  if (base !== undefined) refuseOfAnotherUser(base, stateDirectory, file.path);
  if (base === undefined || !(await isUnchanged(base, file, structure))) {
    throw new MlfsError(
      'ERR_MLFS_RECOVERY',
      `${file.path}: has changed since ${uncommitted.bytes} bytes of edits in ${stateDirectory} were made`,
      {
        path: file.path,
        advice: `put the old file back, or drop the edits: mlfs discard ${file.path}; mlfs mount --read-only shows the file without them`,
      },
    );
  }
  return confinePieces(uncommitted.pieces(), file, structure);
}

/** What finishing an interrupted commit writes into the file. Throws ERR_MLFS_RECOVERY. */
export async function admitInterrupted(
  { base, stateDirectory }: RecordedEdits,
  interrupted: InterruptedCommit,
  file: EditedFile,
  structure: FileStructure,
): Promise<AdmittedCommit> {
  const note = decodeCommitNote(interrupted.note, file.path);
  if (base !== undefined) refuseOfAnotherUser(base, stateDirectory, file.path);
  if (base === undefined || !isCommitTarget(base, file, structure) || note.size !== file.size) {
    throw anotherFile(file.path);
  }
  if (!sameSpans(note.identity, structure.identity)) throw anotherFile(file.path);
  const pieces = await confinePieces(interrupted.overlay.pieces(), file, structure);
  refuseForeignPatches(note.patches, pieces, file.path, structure);
  if ((await structureOf(file, note.identity, note.patches)) !== note.structure) throw anotherFile(file.path);
  return { base, note, pieces, patches: note.patches };
}

/**
 * Both checks in one, for callers that only look: throws what finishing the interrupted commit and then mounting would throw. Edits made
 * after an interrupted commit refer to the file that the finished commit leaves, so base.json does not describe it yet.
 */
export async function refuseForeignEdits(
  edits: RecordedEdits & {
    readonly uncommitted: Overlay;
    readonly interrupted: InterruptedCommit | undefined;
  },
  file: EditedFile,
  structure: FileStructure,
): Promise<void> {
  const { interrupted, uncommitted } = edits;
  if (interrupted === undefined) {
    await admitUncommitted(edits, uncommitted, file, structure);
    return;
  }
  await admitInterrupted(edits, interrupted, file, structure);
  await confinePieces(uncommitted.pieces(), file, structure);
}

/** Whether another user made a journal. root's journals are accepted, because root may write everything anyway. */
export function isOfAnotherUser({ uid }: BaseRecord): boolean {
  const caller = process.geteuid?.();
  return uid !== undefined && uid !== 0 && caller !== undefined && uid !== caller;
}

/** Without this check, another user's edits would be written in the caller's name. */
function refuseOfAnotherUser(base: BaseRecord, stateDirectory: string, checkpoint: string): void {
  if (!isOfAnotherUser(base)) return;
  throw new MlfsError(
    'ERR_MLFS_RECOVERY',
    `${stateDirectory}: its edits were made by user ${base.uid}, and this process runs as user ${process.geteuid?.()}`,
    {
      path: stateDirectory,
      advice: `commit them as that user, or drop them: mlfs discard ${checkpoint}`,
    },
  );
}

/** Whether the file is as it was when the edits were made, or a copy of it. */
async function isUnchanged(
  recorded: BaseRecord,
  file: EditedFile,
  structure: FileStructure,
): Promise<boolean> {
  return (
    recorded.size === file.size &&
    (holdsChecksums(structure) || recorded.mtimeNs === String(file.fingerprint.mtimeNs)) &&
    recorded.structure === (await structureOf(file, structure.identity, []))
  );
}

/**
 * Where the structure holds no checksums of the contents, all files of one model have the same structure. A half-written file is then known
 * by its inode alone.
 */
function isCommitTarget({ size, ino }: BaseRecord, file: EditedFile, structure: FileStructure): boolean {
  return size === file.size && (holdsChecksums(structure) || ino === String(file.fingerprint.ino));
}

/** Where the structure holds checksums of all contents, an equal structure means an equal file, wherever it was copied from. */
function holdsChecksums({ identity, checksums }: FileStructure): boolean {
  return identity.length > 0 && checksums.fields.length > 0;
}

function sameSpans(a: readonly FileSpan[], b: readonly FileSpan[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ offset, length }, index) => offset === b[index]?.offset && length === b[index]?.length)
  );
}

function anotherFile(path: string): MlfsError {
  return new MlfsError(
    'ERR_MLFS_RECOVERY',
    `${path}: a commit was interrupted, and it was for another file`,
    {
      path,
      advice: `put the old file back, or drop the edits: mlfs discard ${path}`,
    },
  );
}
