/**
 * The edits of one checkpoint: what makes its image writable, and what becomes of the dirty ranges. Wires together state directory,
 * journal, overlay and checksums.
 *
 * A commit is a redo log. The decision is one durable record of the journal, the commit mark, which carries the new checksums; from there
 * on the dirty ranges and checksums are copied into the base, as often as it takes until base.json and the removal of the segments say that it
 * is done. Writing goes on meanwhile, into later segments.
 *
 * Invariants:
 * - Updates are made one at a time; what the journal replays is what the overlay holds, in the same order.
 * - Commit, discard and compaction exclude each other. Segments are dropped only when no piece of the overlay lies in them.
 * - A commit that was decided is finished before anything else is decided, by this process or by the next one that recovers.
 */
import { errno, MlfsError } from '../errors.ts';
import type { ChecksumMark, Checksums } from './checksums.ts';
import { decodeCommitNote, encodeCommitNote, type FileRange, structureOf } from './commit-note.ts';
import { writeCopy } from './copy.ts';
import { foldInto, type Progress } from './fold.ts';
import type { Image, ImageEditor, ImageUpdate, UpdateOptions } from './image.ts';
import { ImageChanges } from './image-changes.ts';
import { inParallel } from './in-parallel.ts';
import { Journal, type JournalCounters } from './journal/journal.ts';
import type { Medium, MediumFile } from './medium.ts';
import { type DirtyRange, type MovedBytes, Overlay, type Piece, type Placement } from './overlay.ts';
import { identityOf, openBase } from './stale.ts';
import type { BaseRecord, StateDirectory } from './state-directory.ts';
import { Turns } from './turns.ts';

export interface EditsOptions {
  /** Of the journal; updates beyond it are ENOSPC. */
  readonly limitBytes?: number;
}

/** What the storage floor must know of a file's format. */
export interface FileStructure {
  /** Parts that say what the file is: a zip's central directory, a header. */
  readonly identity: readonly FileRange[];
  readonly checksums: Checksums;
}

export interface CommitOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Says what would be done and does nothing. */
  readonly dryRun?: boolean;
}

export interface CommitToOptions extends CommitOptions {
  /** Replace a file that is there. */
  readonly overwrite?: boolean;
}

export interface CommitReport {
  /** Dirty bytes and ranges that were (or would be) folded in. */
  readonly bytes: number;
  readonly ranges: number;
  /** Checksum fields that were rewritten. */
  readonly checksums: number;
  readonly milliseconds: number;
}

export interface EditsStatus {
  readonly stateDirectory: string;
  readonly dirtyBytes: number;
  readonly dirtyRanges: number;
  readonly journal: JournalCounters & {
    readonly limitBytes: number | undefined;
    readonly failed: boolean;
    readonly vanished: boolean;
  };
  /** Present while a commit is under way. */
  readonly commit: Progress | undefined;
  /** A commit was decided and could not be finished; the next one finishes it. */
  readonly unfinishedCommit: boolean;
  readonly commitsTotal: number;
}

/** What a decided commit has to put into the base. */
interface Decided {
  readonly segment: number;
  readonly pieces: readonly Piece[];
  readonly mark: ChecksumMark;
}

/** base.json tells the file by its times where it has no checksums: they must not be older after a power loss. */
const WITH_TIMES = { times: true } as const;
/** Below this the journal is not worth compacting. */
const COMPACT_FROM_BYTES = 64 * 1024 * 1024;
/** A chunk with more pieces than this is defragmented: on average they lie within 512 bytes of each other. */
const FRAGMENTED_PIECES = 2048;
/** What may lie between two pieces that become one: no chunk has more than half as many pieces afterwards. */
const JOINED_GAP_BYTES = 1024;
/** Pieces whose checksums are worked out at one time; each is 1 MiB at most. */
const PIECES_AT_ONCE = 16;
/** Of the journal's limit. */
const ALMOST_FULL = 0.75;

export class Edits implements ImageEditor {
  /** Set by who watches the checkpoint file: it is not the one that was opened any more. Updates are then ESTALE. */
  stale = false;
  readonly #medium: Medium;
  readonly #path: string;
  readonly #state: StateDirectory;
  readonly #options: EditsOptions;
  readonly #updates = new Turns();
  readonly #decisions = new Turns();
  readonly #journal: Journal;
  /** The update whose turn it is. */
  #changes: ImageChanges | undefined;
  /** What replay found, until an image takes it over. */
  #replayed: Overlay;
  #image: Image | undefined;
  #structure: FileStructure | undefined;
  #ready = false;
  #decided: Decided | undefined;
  #progress: Progress | undefined;
  #compacting: Promise<void> | undefined;
  #commits = 0;
  #closed = false;

  private constructor(
    medium: Medium,
    path: string,
    state: StateDirectory,
    options: EditsOptions,
    journal: Journal,
    replayed: Overlay,
  ) {
    this.#medium = medium;
    this.#path = path;
    this.#state = state;
    this.#options = options;
    this.#journal = journal;
    this.#replayed = replayed;
  }

  /**
   * To be called before the checkpoint is parsed: takes the lock if there is a state directory, replays its journal and finishes a
   * commit that was interrupted. Throws ERR_MLFS_BUSY, ERR_MLFS_RECOVERY.
   */
  static async recover(
    medium: Medium,
    checkpointPath: string,
    state: StateDirectory,
    options: EditsOptions = {},
  ): Promise<Edits> {
    if (state.exists()) await state.lock();
    let journal: Journal | undefined;
    try {
      const overlay = new Overlay();
      let decided: { note: string; segment: number; pieces: Piece[] } | undefined;
      let edits: Edits | undefined;
      const clear = () => overlay.dropThrough(Number.POSITIVE_INFINITY, new Set());
      journal = await Journal.open(
        state.medium,
        state.journalPath,
        {
          write: (offset, length, placement) => overlay.set(offset, length, placement, new Set()),
          commit: (note, segment) => {
            decided = { note, segment, pieces: [...overlay.pieces()] };
          },
          discard: clear,
        },
        {
          ...(options.limitBytes === undefined ? {} : { limitBytes: options.limitBytes }),
          onMoved: (moved) => {
            if (edits !== undefined) edits.#follow(moved);
          },
        },
      );
      if (decided !== undefined) {
        await finishInterrupted(medium, checkpointPath, state, decided.note, decided.pieces);
        overlay.dropThrough(decided.segment, new Set());
        await journal.dropThrough(decided.segment);
      }
      edits = new Edits(medium, checkpointPath, state, options, journal, overlay);
      return edits;
    } catch (cause) {
      await journal?.close();
      await state.close();
      throw cause;
    }
  }

  /** Drops the edits of a checkpoint that need not be there, or need not fit, any more. Throws ERR_MLFS_BUSY. */
  static async abandon(medium: Medium, state: StateDirectory): Promise<CommitReport> {
    const startedMs = Date.now();
    if (!state.exists()) return report([], 0, startedMs);
    await state.lock();
    try {
      const overlay = new Overlay();
      const journal = await Journal.open(medium, state.journalPath, {
        write: (offset, length, placement) => overlay.set(offset, length, placement, new Set()),
        commit: () => undefined,
        discard: () => overlay.dropThrough(Number.POSITIVE_INFINITY, new Set()),
      });
      await journal.discard();
      await journal.close();
      return report([...overlay.ranges()], 0, startedMs);
    } finally {
      await state.close();
    }
  }

  /** Makes the image writable and gives it the edits that the journal holds. Throws ERR_MLFS_RECOVERY when they are of another file. */
  async attach(image: Image, structure: FileStructure): Promise<void> {
    this.#image = image;
    this.#structure = structure;
    if (!this.#replayed.empty) {
      await this.#refuseForeign(image, structure);
      const chunks = new Set<number>();
      const pieces = [...this.#replayed.pieces()];
      await inParallel(pieces, PIECES_AT_ONCE, (piece) => checkPiece(image, piece, structure.checksums));
      image.overlay.setAll(
        pieces.map((piece) => ({ start: piece.start, end: piece.end, placement: piece })),
        chunks,
      );
      image.changed({ ranges: [...image.overlay.ranges()], chunks });
    }
    this.#replayed = new Overlay();
    image.makeWritable(this);
  }

  get status(): EditsStatus {
    const overlay = this.#image?.overlay ?? this.#replayed;
    let dirtyRanges = 0;
    for (const _ of overlay.ranges()) dirtyRanges++;
    return {
      stateDirectory: this.#state.path,
      dirtyBytes: overlay.bytes,
      dirtyRanges,
      journal: {
        ...this.#journal.counters,
        limitBytes: this.#options.limitBytes,
        failed: this.#journal.failed,
        vanished: this.#journal.vanished,
      },
      commit: this.#progress,
      unfinishedCommit: this.#decided !== undefined && this.#progress === undefined,
      commitsTotal: this.#commits,
    };
  }

  get dirty(): boolean {
    return !(this.#image?.overlay ?? this.#replayed).empty;
  }

  async update<T>(task: (update: ImageUpdate) => Promise<T>, { atomic = false }: UpdateOptions): Promise<T> {
    // Room that is being made is waited for, when there is not much left.
    if (this.#journal.counters.bytes > ALMOST_FULL * this.#limitBytes) await this.#compacting;
    return this.#updates.run(async () => {
      const { image, structure } = this.#attached();
      if (this.stale) throw this.#staleError();
      const changes = new ImageChanges(image, structure.checksums, () => this.#readyJournal(), atomic);
      this.#changes = changes;
      try {
        const result = await task(changes);
        await changes.finish();
        this.#publish(image, changes);
        return result;
      } catch (cause) {
        // What a plain update journalled before it failed will be replayed, so it counts now, too.
        if (!atomic) this.#publish(image, changes);
        throw cause;
      } finally {
        this.#changes = undefined;
      }
    });
  }

  /** Every acknowledged edit is durable when it resolves. */
  flush(): Promise<void> {
    return this.#journal.sync();
  }

  /** Folds the dirty ranges into the checkpoint, checksums included. Throws ERR_MLFS_STALE, ERR_MLFS_ACCESS, ERR_MLFS_IO. */
  commit(options: CommitOptions = {}): Promise<CommitReport> {
    return this.#decisions.run(async () => {
      const startedMs = Date.now();
      const { image, structure } = this.#attached();
      if (options.dryRun) return this.#report(startedMs);
      if (this.#decided !== undefined) await this.#finish(this.#decided, options);
      if (image.overlay.empty) return report([], 0, startedMs);
      // Whether it can be written is found out before anything is decided.
      const file = await openBase(this.#medium, this.#path, image.base, { begun: false });
      try {
        const { decided, outcome } = await this.#updates.run(() => this.#decide(image, structure, startedMs));
        await this.#carryOut(file, decided, options);
        return { ...outcome, milliseconds: Date.now() - startedMs };
      } finally {
        await file.close();
      }
    });
  }

  /** Writes the image with right checksums to a new file, which appears when it is whole; the edits stay as they are. */
  commitTo(path: string, options: CommitToOptions = {}): Promise<CommitReport> {
    return this.#decisions.run(async () => {
      const startedMs = Date.now();
      const { image, structure } = this.#attached();
      const { pieces, patches, outcome } = await this.#updates.run(async () => ({
        pieces: [...image.overlay.pieces()],
        patches: structure.checksums.patches(),
        outcome: this.#report(startedMs),
      }));
      if (options.dryRun) return outcome;
      try {
        await writeCopy(this.#medium, image.base, path, {
          overwrite: options.overwrite ?? false,
          onProgress: (progress) => this.#tell(progress, options),
          finish: (file) => foldInto(file, pieces, patches, () => undefined),
        });
      } finally {
        this.#progress = undefined;
      }
      return { ...outcome, milliseconds: Date.now() - startedMs };
    });
  }

  /** Drops every edit that was not committed. Gradients stay. */
  discard(): Promise<CommitReport> {
    return this.#decisions.run(async () => {
      if (this.#decided !== undefined) await this.#finish(this.#decided, {});
      return this.#updates.run(async () => {
        const startedMs = Date.now();
        const { image, structure } = this.#attached();
        const ranges = [...image.overlay.ranges()];
        if (ranges.length === 0) return report([], 0, startedMs);
        await this.#journal.discard();
        const chunks = new Set<number>();
        image.overlay.dropThrough(Number.POSITIVE_INFINITY, chunks);
        structure.checksums.reset();
        image.changed({ ranges, chunks });
        return report(ranges, 0, startedMs);
      });
    });
  }

  /** Ends the updates under way and lets go of the state directory. The image is read-only from here on. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#decisions.run(() =>
      this.#updates.run(async () => {
        this.#image?.makeWritable(undefined);
        await this.#journal.close();
        await this.#state.close();
      }),
    );
  }

  #attached(): { image: Image; structure: FileStructure } {
    if (this.#image === undefined || this.#structure === undefined || this.#closed) {
      throw errno('EROFS', `${this.#path}: is not writable any more`);
    }
    return { image: this.#image, structure: this.#structure };
  }

  #publish(image: Image, changes: ImageChanges): void {
    const change = changes.publish();
    if (change === undefined) return;
    image.changed(change);
    for (const index of change.chunks) {
      if (image.overlay.chunk(index).length <= FRAGMENTED_PIECES) continue;
      // A medium that fails says so to the next update.
      this.#updates.run(() => this.#defragment(image, index)).catch(() => undefined);
    }
    this.#compactWhenWorth(image);
  }

  /** Joins the pieces of a chunk that are near each other: each change of it costs as much as it has pieces. */
  async #defragment(image: Image, index: number): Promise<void> {
    if (this.#closed || image.overlay.chunk(index).length <= FRAGMENTED_PIECES) return;
    await this.#rewrite(image, joined(image.overlay.chunk(index), JOINED_GAP_BYTES));
  }

  /** The journal, with the state directory made and base.json saying which file the journal's offsets refer to. */
  async #readyJournal(): Promise<Journal> {
    if (this.#ready) return this.#journal;
    const base = await this.#baseRecord();
    await this.#state.ensure(base);
    const recorded = await this.#state.readBase();
    if (JSON.stringify(recorded) !== JSON.stringify(base)) await this.#state.writeBase(base);
    this.#ready = true;
    return this.#journal;
  }

  async #baseRecord(): Promise<BaseRecord> {
    const { image, structure } = this.#attached();
    const { size, ino, mtimeNs } = image.base.fingerprint;
    return {
      path: this.#path,
      size,
      ino: String(ino),
      mtimeNs: String(mtimeNs),
      structure: await structureOf(image.base, structure.identity, []),
    };
  }

  async #refuseForeign(image: Image, { identity, checksums }: FileStructure): Promise<void> {
    const recorded = await this.#state.readBase();
    const now = await this.#baseRecord();
    const same =
      recorded !== undefined &&
      recorded.size === now.size &&
      recorded.structure === now.structure &&
      // Where the structure holds checksums of all content, an equal structure is an equal file, wherever it was copied from.
      ((identity.length > 0 && checksums.fields.length > 0) || recorded.mtimeNs === now.mtimeNs);
    if (same) return;
    throw new MlfsError(
      'ERR_MLFS_RECOVERY',
      `${image.path}: has changed since ${this.#replayed.bytes} bytes of edits in ${this.#state.path} were made`,
      {
        path: image.path,
        advice: `put the old file back, or drop the edits: mlfs discard ${image.path}; mlfs mount --read-only shows the file without them`,
      },
    );
  }

  async #decide(image: Image, structure: FileStructure, startedMs: number) {
    const outcome = this.#report(startedMs);
    const mark = structure.checksums.mark();
    const note = encodeCommitNote({
      size: image.base.size,
      identity: structure.identity,
      structure: await structureOf(image.base, structure.identity, mark.patches),
      patches: mark.patches,
    });
    const segment = await this.#journal.markCommit(note);
    const decided: Decided = { segment, pieces: [...image.overlay.pieces()], mark };
    this.#decided = decided;
    return { decided, outcome };
  }

  /** Carries out what was decided when it could not be done. */
  async #finish(decided: Decided, options: CommitOptions): Promise<void> {
    const { image } = this.#attached();
    const file = await openBase(this.#medium, this.#path, image.base, { begun: true });
    try {
      await this.#carryOut(file, decided, options);
    } finally {
      await file.close();
    }
  }

  async #carryOut(file: MediumFile, decided: Decided, options: CommitOptions): Promise<void> {
    const { image, structure } = this.#attached();
    const { segment, pieces, mark } = decided;
    try {
      await foldInto(file, pieces, mark.patches, (progress) => this.#tell(progress, options));
      await file.sync(WITH_TIMES);
      await this.#updates.run(async () => {
        await image.base.refresh();
        await this.#state.writeBase(await this.#baseRecord());
        const chunks = new Set<number>();
        image.overlay.dropThrough(segment, chunks);
        structure.checksums.settle(mark);
        this.#decided = undefined;
        this.#commits++;
        image.changed({ ranges: [], chunks });
      });
      // It is done, whether or not the segments can be removed: they go with the next ones, or when the journal is opened again,
      // which folds them in once more.
      await this.#journal.dropThrough(segment).catch(() => undefined);
    } finally {
      this.#progress = undefined;
    }
  }

  #tell(progress: Progress, options: CommitOptions): void {
    this.#progress = progress;
    options.onProgress?.(progress);
  }

  #report(startedMs: number): CommitReport {
    const { image, structure } = this.#attached();
    return report([...image.overlay.ranges()], structure.checksums.patches().length, startedMs);
  }

  #staleError(): MlfsError {
    return new MlfsError('ERR_MLFS_STALE', `${this.#path}: is not the file that was mounted any more`, {
      path: this.#path,
      advice: 'keep the edits: mlfs commit --to NEW.pt; or drop them: mlfs discard, and mlfs reload',
    });
  }

  /** Rewrites what is live when most of the journal was superseded. */
  #compactWhenWorth(image: Image): void {
    const { bytes } = this.#journal.counters;
    const from = Math.min(COMPACT_FROM_BYTES, this.#limitBytes / 2);
    if (this.#compacting !== undefined || bytes < from || image.overlay.bytes * 2 > bytes) return;
    this.#compacting = this.#decisions
      .run(() => this.#compact(image))
      // No room to compact, or a medium that fails: the next update says so to whom it concerns.
      .catch(() => undefined)
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  get #limitBytes(): number {
    return this.#options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** After a failed sync the journal wrote anew what was not durable. */
  #follow(moved: readonly MovedBytes[]): void {
    this.#changes?.move(moved);
    const chunks = new Set<number>();
    const overlay = this.#image?.overlay;
    overlay?.move(moved, chunks);
    this.#image?.changed({ ranges: [], chunks });
  }

  async #compact(image: Image): Promise<void> {
    if (this.#decided !== undefined || this.#closed) return;
    const segment = await this.#updates.run(() => this.#journal.rotate());
    const old = (piece: Piece) => piece.segment <= segment;
    for (const index of image.overlay.chunkIndexes()) {
      await this.#updates.run(async () => {
        const pieces = image.overlay.chunk(index).filter(old);
        if (pieces.length > 0) await this.#rewrite(image, pieces);
      });
    }
    await this.#journal.sync();
    await this.#updates.run(() => this.#journal.dropThrough(segment));
  }

  /** Journals ranges as they are, anew. A chunk has 1 MiB at most. */
  async #rewrite(image: Image, ranges: readonly DirtyRange[]): Promise<void> {
    const writes = await Promise.all(
      ranges.map(async ({ start, end }) => ({ offset: start, bytes: await image.read(start, end - start) })),
    );
    const placements = await this.#journal.append(writes);
    const chunks = new Set<number>();
    image.overlay.setAll(
      ranges.map(({ start, end }, index) => ({ start, end, placement: placements[index] as Placement })),
      chunks,
    );
    image.changed({ ranges: [], chunks });
  }
}

/** Ranges of ascending pieces, those with no more than `gap` bytes between them as one. */
function joined(pieces: readonly DirtyRange[], gap: number): DirtyRange[] {
  const ranges: DirtyRange[] = [];
  for (const { start, end } of pieces) {
    const last = ranges.at(-1);
    if (last !== undefined && start - last.end <= gap) ranges[ranges.length - 1] = { start: last.start, end };
    else ranges.push({ start, end });
  }
  return ranges;
}

async function finishInterrupted(
  medium: Medium,
  checkpointPath: string,
  state: StateDirectory,
  noteText: string,
  pieces: readonly Piece[],
): Promise<void> {
  const note = decodeCommitNote(noteText, checkpointPath);
  const file = await medium.open(checkpointPath, 'write');
  try {
    const size = await file.size();
    if (size !== note.size || (await structureOf(file, note.identity, note.patches)) !== note.structure) {
      throw new MlfsError(
        'ERR_MLFS_RECOVERY',
        `${checkpointPath}: a commit was interrupted, and this is not the file that it was for`,
        {
          path: checkpointPath,
          advice: `put the file back that was there, or drop the edits: mlfs discard ${checkpointPath}`,
        },
      );
    }
    await foldInto(file, pieces, note.patches, () => undefined);
    await file.sync(WITH_TIMES);
    await rewriteBase(state, file, note.structure);
  } finally {
    await file.close();
  }
}

/** base.json of the file as it is now. */
async function rewriteBase(state: StateDirectory, file: MediumFile, structure: string): Promise<void> {
  const recorded = await state.readBase();
  if (recorded === undefined) return;
  const { ino, mtimeNs } = await identityOf(file, recorded);
  await state.writeBase({ ...recorded, ino, mtimeNs, structure });
}

/** The change that a replayed piece is, for the checksums. */
async function checkPiece(image: Image, piece: Piece, checksums: Checksums): Promise<void> {
  const before = await image.base.read(piece.start, piece.end - piece.start);
  const after = await piece.file.read(piece.fileOffset, piece.end - piece.start);
  const changes = new Map<number, number>();
  checksums.change(changes, piece.start, before, after);
  checksums.apply(changes);
}

function report(ranges: readonly DirtyRange[], checksums: number, startedMs: number): CommitReport {
  const bytes = ranges.reduce((sum, { start, end }) => sum + (end - start), 0);
  return { bytes, ranges: ranges.length, checksums, milliseconds: Date.now() - startedMs };
}
