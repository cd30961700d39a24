/**
 * The one rule that says whether the edits of a journal may go into a file. A mount, `commit`, `commit --dry-run` and `status` all ask it, so
 * what one of them accepts no other refuses. Nothing is written here.
 *
 * - The edits were made by this user or by root.
 * - The file is the one that base.json describes: of the same size and structure, and, where the structure holds no checksums of the contents,
 *   unchanged since (the same modification time).
 * - A commit that was interrupted has changed the file's times already, and may have changed its checksums. The structure is then compared with
 *   that of the commit mark, and where it holds no checksums the file must be the very inode.
 * - They change nothing but storages, and the checksums that follow from these.
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

/** What a state directory says of the edits in it. */
export interface RecordedEdits {
  readonly stateDirectory: string;
  /** What base.json says; undefined when there is none. */
  readonly base: BaseRecord | undefined;
}

/** A commit that an earlier process decided, and that is not known to be done. */
export interface InterruptedCommit {
  /** What the commit mark says. */
  readonly note: string;
  readonly overlay: Overlay;
}

/** What is to be written to finish such a commit. */
export interface AdmittedCommit {
  /** Which file it was made for. */
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
 * Both in one, for callers that only look: throws what finishing the interrupted commit and then mounting would throw. Edits that were made
 * after an interrupted commit are of the file that the finished commit leaves, so base.json says nothing about them yet.
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

/** Edits of another user would become the caller's own writes. */
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
 * Files of one model after another have the same structure where it holds no checksums of the contents: there a half-written file is known
 * by its inode alone.
 */
function isCommitTarget({ size, ino }: BaseRecord, file: EditedFile, structure: FileStructure): boolean {
  return size === file.size && (holdsChecksums(structure) || ino === String(file.fingerprint.ino));
}

/** Where the structure holds checksums of all content, an equal structure means an equal file, wherever it was copied from. */
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
    `${path}: a commit was interrupted, and this is not the file that it was for`,
    {
      path,
      advice: `put the file back that was there, or drop the edits: mlfs discard ${path}`,
    },
  );
}
