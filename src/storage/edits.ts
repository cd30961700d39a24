/**
 * The edits of one checkpoint: what makes its image writable, and what becomes of the dirty ranges. Wires together state directory,
 * journal, overlay and checksums.
 *
 * What a journal says is data: an edit or a commit that it holds is carried out only as far as it changes storages of the file as it was parsed, and
 * the checksums that follow (confined-edits.ts). So a journal is replayed first, then the file is parsed, then a commit that was
 * interrupted is finished, and then the edits are attached.
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
import { admitUncommitted, type InterruptedCommit } from './admit-edits.ts';
import type { BaseRecord } from './base-record.ts';
import type { ChecksumMark } from './checksums.ts';
import { encodeCommitNote, structureOf } from './commit-note.ts';
import { type CommitReport, report } from './commit-report.ts';
import { followPieces } from './confined-edits.ts';
import { checkCopyTarget, writeCopy } from './copy.ts';
import type { FileStructure } from './file-structure.ts';
import { foldInto, type Progress } from './fold.ts';
import type { Image, ImageBase, ImageEditor, ImageUpdate, UpdateOptions } from './image.ts';
import { ImageChanges } from './image-changes.ts';
import { finishCommit, OWN_USER, WITH_TIMES } from './interrupted-commit.ts';
import { type AppendOptions, Journal, type JournalCounters } from './journal/journal.ts';
import { removeSegments } from './journal/segments.ts';
import type { Medium, MediumFile } from './medium.ts';
import { Mutex } from './mutex.ts';
import { type DirtyRange, type MovedBytes, Overlay, type Piece, type Placement } from './overlay.ts';
import { ReplayedEdits } from './replayed-edits.ts';
import { openBase } from './stale.ts';
import type { StateDirectory } from './state-directory.ts';

export type { CommitReport } from './commit-report.ts';

export interface EditsLimits {
  /** Maximum size of the journal; an update beyond it fails with ENOSPC. */
  readonly limitBytes?: number | undefined;
}

export interface FoldOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Says what would be done and does nothing. */
  readonly dryRun?: boolean;
}

export interface CommitToOptions extends FoldOptions {
  /** Replace a file that is there. */
  readonly overwrite?: boolean;
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

/** What `abandon` dropped. */
export interface AbandonReport extends CommitReport {
  /** A commit was interrupted: the checkpoint file, if it is the one that it was for, may be half written. */
  readonly interruptedCommit: boolean;
}

/** What a decided commit has to put into the base. */
interface Decided {
  readonly segment: number;
  readonly pieces: readonly Piece[];
  readonly mark: ChecksumMark;
}

/** Below this the journal is not worth compacting. */
const COMPACT_FROM_BYTES = 64 * 1024 * 1024;
/** A chunk with more pieces than this is defragmented: on average they lie within 512 bytes of each other. */
const FRAGMENTED_PIECES = 2048;
/** What may lie between two pieces that become one: no chunk has more than half as many pieces afterwards. */
const JOINED_GAP_BYTES = 1024;
/** Of the journal's limit. */
const ALMOST_FULL = 0.75;

export class Edits implements ImageEditor {
  /** Set by who watches the checkpoint file: it is not the one that was opened any more. Updates are then ESTALE. */
  stale = false;
  readonly #medium: Medium;
  readonly #path: string;
  readonly #state: StateDirectory;
  readonly #options: EditsLimits;
  readonly #updates = new Mutex();
  readonly #decisions = new Mutex();
  readonly #journal: Journal;
  /** The update that is running. */
  #changes: ImageChanges | undefined;
  /** What replay found, until an image takes it over. */
  #replayed: Overlay;
  #image: Image | undefined;
  #structure: FileStructure | undefined;
  #ready = false;
  #decided: Decided | undefined;
  /** What replay found of a commit that an earlier process decided. */
  #interrupted: (InterruptedCommit & { readonly segment: number }) | undefined;
  #progress: Progress | undefined;
  #compacting: Promise<void> | undefined;
  #commits = 0;
  #closing: Promise<void> | undefined;
  #closed = false;

  private constructor(
    medium: Medium,
    path: string,
    state: StateDirectory,
    options: EditsLimits,
    journal: Journal,
    replayed: ReplayedEdits,
  ) {
    this.#medium = medium;
    this.#path = path;
    this.#state = state;
    this.#options = options;
    this.#journal = journal;
    this.#replayed = replayed.uncommitted;
    this.#interrupted = replayed.decided;
  }

  /**
   * To be called before the checkpoint is parsed: takes the lock if there is a state directory, and replays its journal. The checkpoint is not
   * written. Throws ERR_MLFS_BUSY, ERR_MLFS_RECOVERY.
   */
  static async recover(
    medium: Medium,
    checkpointPath: string,
    state: StateDirectory,
    options: EditsLimits = {},
  ): Promise<Edits> {
    if (state.exists()) await state.lock();
    let edits: Edits | undefined;
    try {
      const replayed = new ReplayedEdits(state.journalPath);
      const journal = await Journal.open(state.medium, state.journalPath, replayed, {
        limitBytes: options.limitBytes,
        onMoved: (moved) => {
          if (edits !== undefined) edits.#follow(moved);
        },
      });
      edits = new Edits(medium, checkpointPath, state, options, journal, replayed);
      return edits;
    } catch (cause) {
      await state.close().catch(() => undefined);
      throw cause;
    }
  }

  /** A commit was decided by an earlier process, and the file may be half written. */
  get interruptedCommit(): boolean {
    return this.#interrupted !== undefined;
  }

  /**
   * Finishes the commit that an earlier process decided. The checkpoint is to be parsed once more afterwards: its checksums are others.
   * Throws ERR_MLFS_RECOVERY, ERR_MLFS_STALE, ERR_MLFS_ACCESS, ERR_MLFS_IO.
   */
  async finishInterrupted(base: ImageBase, structure: FileStructure): Promise<void> {
    const interrupted = this.#interrupted;
    if (interrupted === undefined) return;
    await finishCommit(this.#medium, this.#path, this.#state, base, structure, interrupted);
    await this.#journal.dropThrough(interrupted.segment);
    await base.refresh();
    this.#interrupted = undefined;
  }

  /**
   * Drops the edits of a checkpoint that need not be there, or need not fit, any more; also when the journal is damaged. Throws
   * ERR_MLFS_BUSY.
   */
  static async abandon(state: StateDirectory): Promise<AbandonReport> {
    const startedMs = Date.now();
    if (!state.exists()) return { ...report([], 0, startedMs), interruptedCommit: false };
    await state.lock();
    try {
      const replayed = new ReplayedEdits(state.journalPath);
      let journal: Journal;
      try {
        journal = await Journal.open(state.medium, state.journalPath, replayed);
      } catch (cause) {
        if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_RECOVERY') throw cause;
        await removeSegments(state.medium, state.journalPath);
        return { ...report([], 0, startedMs), interruptedCommit: false };
      }
      await journal.discard();
      await journal.close();
      const ranges = [...replayed.all().ranges()];
      return { ...report(ranges, 0, startedMs), interruptedCommit: replayed.decided !== undefined };
    } finally {
      await state.close();
    }
  }

  /**
   * Makes the image writable and gives it the edits that the journal holds. A journal that holds none is dropped. Throws ERR_MLFS_RECOVERY when
   * the edits are of another file or another user, or would change what is no storage.
   */
  async attach(image: Image, structure: FileStructure): Promise<void> {
    if (this.#interrupted !== undefined)
      throw new Error('a commit that was interrupted is to be finished first');
    this.#image = image;
    this.#structure = structure;
    if (!this.#replayed.empty) {
      const recorded = { stateDirectory: this.#state.path, base: await this.#state.readBase() };
      const pieces = await admitUncommitted(recorded, this.#replayed, image.base, structure);
      const chunks = new Set<number>();
      await followPieces(pieces, image.base, structure.checksums);
      image.overlay.setAll(
        pieces.map((piece) => ({ start: piece.start, end: piece.end, placement: piece })),
        chunks,
      );
      image.changed({ ranges: [...image.overlay.ranges()], chunks });
    }
    this.#replayed = new Overlay();
    // On a medium that cannot be written the mount is still good for reading, and a later commit or discard drops it.
    if (image.overlay.empty) await this.#dropDead(image).catch(() => undefined);
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
    if (this.#closing !== undefined) throw this.#closedError();
    // Room that can be made is waited for, when there is not much left.
    if (this.#journal.counters.bytes > ALMOST_FULL * this.#limitBytes) {
      if (this.#image !== undefined) this.#compactWhenWorth(this.#image);
      await this.#compacting;
    }
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
        if (atomic) await changes.withdraw();
        else this.#publish(image, changes);
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
  commit(options: FoldOptions = {}): Promise<CommitReport> {
    return this.#inTurn(async () => {
      const startedMs = Date.now();
      const { image, structure } = this.#attached();
      if (options.dryRun) return this.#report(startedMs);
      if (this.#decided !== undefined) await this.#finish(this.#decided, options);
      if (image.overlay.empty) {
        await this.#updates.run(() => this.#dropDead(image));
        return report([], 0, startedMs);
      }
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
    return this.#inTurn(async () => {
      const startedMs = Date.now();
      const { image, structure } = this.#attached();
      const { pieces, patches, outcome } = await this.#updates.run(async () => ({
        pieces: [...image.overlay.pieces()],
        patches: structure.checksums.patches(),
        outcome: this.#report(startedMs),
      }));
      const target = { path, overwrite: options.overwrite ?? false, stateDirectory: this.#state.path };
      if (options.dryRun) {
        await checkCopyTarget(image.base, target);
        return outcome;
      }
      try {
        await writeCopy(this.#medium, image.base, {
          ...target,
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
    return this.#inTurn(async () => {
      if (this.#decided !== undefined) await this.#finish(this.#decided, {});
      return this.#updates.run(async () => {
        const startedMs = Date.now();
        const { image, structure } = this.#attached();
        const ranges = [...image.overlay.ranges()];
        if (ranges.length === 0) {
          await this.#dropDead(image);
          return report([], 0, startedMs);
        }
        await this.#journal.discard();
        const chunks = new Set<number>();
        image.overlay.dropThrough(Number.POSITIVE_INFINITY, chunks);
        structure.checksums.reset();
        image.changed({ ranges, chunks });
        return report(ranges, 0, startedMs);
      });
    });
  }

  /**
   * Lets go of the state directory when everything that was asked for before is done: a commit that is running ends as it would have. What
   * is asked for from here on fails with EROFS.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#image?.makeWritable(undefined);
    await this.#decisions.run(() =>
      this.#updates.run(async () => {
        this.#closed = true;
        try {
          await this.#journal.close();
        } finally {
          await this.#state.close();
        }
      }),
    );
  }

  /** Commits and discards, one at a time. */
  async #inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw this.#closedError();
    return this.#decisions.run(task);
  }

  #closedError(): MlfsError {
    return errno('EROFS', `${this.#path}: is not writable any more`);
  }

  #attached(): { image: Image; structure: FileStructure } {
    if (this.#image === undefined || this.#structure === undefined || this.#closed) {
      throw this.#closedError();
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

  /** Removes a journal none of whose records counts: replacements that did not come to their end. To be called between updates. */
  async #dropDead(image: Image): Promise<void> {
    if (!image.overlay.empty || this.#decided !== undefined || this.#journal.counters.bytes === 0) return;
    await this.#journal.dropThrough(await this.#journal.rotate());
  }

  /** Joins the pieces of a chunk that are near each other: each change of it costs as much as it has pieces. */
  async #defragment(image: Image, index: number): Promise<void> {
    if (this.#closed || image.overlay.chunk(index).length <= FRAGMENTED_PIECES) return;
    const { structure } = this.#attached();
    const joinable = (start: number, end: number) =>
      end - start <= JOINED_GAP_BYTES && structure.writable.contains(start, end);
    const pieces = image.overlay.chunk(index);
    const ranges = joined(pieces, joinable);
    // Pieces of many small tensors stay apart: to rewrite them with every change would be worse than to have them.
    if (ranges.length * 2 <= pieces.length) await this.#rewrite(image, ranges);
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
    const { dev, ino, size, mtimeNs } = image.base.fingerprint;
    return {
      path: this.#path,
      dev: String(dev),
      ino: String(ino),
      size,
      mtimeNs: String(mtimeNs),
      structure: await structureOf(image.base, structure.identity, []),
      ...OWN_USER,
    };
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
  async #finish(decided: Decided, options: FoldOptions): Promise<void> {
    const { image } = this.#attached();
    const file = await openBase(this.#medium, this.#path, image.base, { begun: true });
    try {
      await this.#carryOut(file, decided, options);
    } finally {
      await file.close();
    }
  }

  async #carryOut(file: MediumFile, decided: Decided, options: FoldOptions): Promise<void> {
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

  #tell(progress: Progress, options: FoldOptions): void {
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

  /** After a failed sync the journal rewrote what was not durable. */
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
        if (pieces.length > 0) await this.#rewrite(image, pieces, { beyondLimit: true });
      });
    }
    await this.#journal.sync();
    await this.#updates.run(() => this.#journal.dropThrough(segment));
  }

  /** Journals ranges as they are once more. A chunk has 1 MiB at most. */
  async #rewrite(image: Image, ranges: readonly DirtyRange[], options: AppendOptions = {}): Promise<void> {
    const writes = await Promise.all(
      ranges.map(async ({ start, end }) => ({ offset: start, bytes: await image.read(start, end - start) })),
    );
    const placements = await this.#journal.append(writes, undefined, options);
    const chunks = new Set<number>();
    image.overlay.setAll(
      ranges.map(({ start, end }, index) => ({ start, end, placement: placements[index] as Placement })),
      chunks,
    );
    image.changed({ ranges: [], chunks });
  }
}

/** Ranges of ascending pieces, those between which the bytes are joinable as one. */
function joined(
  pieces: readonly DirtyRange[],
  joinable: (start: number, end: number) => boolean,
): DirtyRange[] {
  const ranges: DirtyRange[] = [];
  for (const { start, end } of pieces) {
    const last = ranges.at(-1);
    if (last !== undefined && joinable(last.end, start))
      ranges[ranges.length - 1] = { start: last.start, end };
    else ranges.push({ start, end });
  }
  return ranges;
}
