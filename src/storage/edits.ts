/**
 * The edits of one checkpoint: what makes its image writable, and the operations on its dirty ranges. Connects state directory, journal,
 * overlay and checksums.
 *
 * A journal is untrusted: its edits and commits are carried out only where they change storages of the parsed file and the checksums that
 * follow (confined-edits.ts). So the order is: replay the journal, parse the file, finish an interrupted commit, attach the edits.
 *
 * Invariants:
 * - Updates run one at a time; the journal replays what the overlay holds, in the same order.
 * - Commit, discard (commits.ts) and compaction (compaction.ts) exclude each other.
 * - A decided commit is finished before anything else is decided, by this process or by the next one that recovers.
 */
import { errno, MlfsError } from '../errors.ts';
import { admitUncommitted, type InterruptedCommit } from './admit-edits.ts';
import { describeBase } from './base-record.ts';
import type { ChecksumChanges } from './checksums.ts';
import type { CommitReport } from './commit-report.ts';
import { Commits, type CommitToOptions, type FoldOptions } from './commits.ts';
import { Compaction } from './compaction.ts';
import { followPieces } from './confined-edits.ts';
import type { FileStructure } from './file-structure.ts';
import type { Progress } from './fold.ts';
import type { Image, ImageBase, ImageEditor, ImageUpdate, UpdateOptions } from './image.ts';
import { ImageChanges, mergedRanges } from './image-changes.ts';
import { finishCommit } from './interrupted-commit.ts';
import { Journal, type JournalCounters } from './journal/journal.ts';
import type { Medium } from './medium.ts';
import { Mutex } from './mutex.ts';
import { byInode } from './native-writes.ts';
import { type MovedBytes, Overlay, type PlacedRange } from './overlay.ts';
import { ReplayedEdits } from './replayed-edits.ts';
import type { StateDirectory } from './state-directory.ts';
import type { LaneWrites } from './write-lane.ts';

export type { CommitReport } from './commit-report.ts';

export interface EditsLimits {
  /** Maximum size of the journal; an update beyond it fails with ENOSPC. */
  readonly limitBytes?: number | undefined;
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
  /** A commit was decided and could not be finished; the next commit finishes it. */
  readonly unfinishedCommit: boolean;
  readonly commitsTotal: number;
}

/** The image of the edits, and what operates on it. */
interface Attached {
  readonly image: Image;
  readonly structure: FileStructure;
  readonly commits: Commits;
  readonly compaction: Compaction;
}

/** Part of the journal's limit beyond which an update waits for a compaction. */
const ALMOST_FULL = 0.75;

/** Updates of JavaScript: before each, the data plane stops writing. */
class UpdateMutex extends Mutex {
  readonly #before: () => Promise<void>;

  constructor(before: () => Promise<void>) {
    super();
    this.#before = before;
  }

  override run<T>(task: () => Promise<T>): Promise<T> {
    return super.run(async () => {
      await this.#before();
      return task();
    });
  }
}

export class Edits implements ImageEditor {
  #stale = false;
  readonly #medium: Medium;
  readonly #path: string;
  readonly #state: StateDirectory;
  readonly #options: EditsLimits;
  readonly #updates = new UpdateMutex(() => this.#stopLane());
  readonly #decisions = new Mutex();
  readonly #journal: Journal;
  /** The update that is running. */
  #changes: ImageChanges | undefined;
  /** The edits that replay found, until an image takes them over. */
  #replayed: Overlay;
  #attached: Attached | undefined;
  #ready = false;
  /** The commit of an earlier process that replay found. */
  #interrupted: (InterruptedCommit & { readonly segment: number }) | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;
  /** What the data plane wrote is being taken up. */
  #catchingUp = false;

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
   * Takes the lock if there is a state directory, and replays its journal. Must be called before the checkpoint is parsed. Does not write
   * to the checkpoint. Throws ERR_MLFS_BUSY, ERR_MLFS_RECOVERY.
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
        onPoisoned: () => {
          if (edits !== undefined) void edits.#attached?.image.lane?.close();
        },
        settle: async () => {
          if (edits !== undefined) await edits.#stopLane();
        },
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

  /** An earlier process decided a commit, and the file may be half written. */
  get interruptedCommit(): boolean {
    return this.#interrupted !== undefined;
  }

  /**
   * Finishes the commit that an earlier process decided. Its checksums have changed afterwards, so the checkpoint must be parsed again.
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
   * Makes the image writable and gives it the edits of the journal. A journal without edits is dropped. Throws ERR_MLFS_RECOVERY when the
   * edits belong to another file or another user, or would change anything but storages.
   */
  async attach(image: Image, structure: FileStructure): Promise<void> {
    if (this.#interrupted !== undefined)
      throw new Error('a commit that was interrupted is to be finished first');
    const attached = this.#attach(image, structure);
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
    // On a medium that cannot be written, the mount can still be read; a later commit or discard drops the journal.
    if (image.overlay.empty) await attached.commits.dropSuperseded().catch(() => undefined);
    image.makeWritable(this);
  }

  /** Set by the watch on the checkpoint file when the file is not the one that was opened any more. Updates then fail with ESTALE. */
  get stale(): boolean {
    return this.#stale;
  }

  set stale(stale: boolean) {
    this.#stale = stale;
    if (stale) void this.#attached?.image.lane?.close();
  }

  get status(): EditsStatus {
    const commits = this.#attached?.commits;
    const overlay = this.#attached?.image.overlay ?? this.#replayed;
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
      commit: commits?.progress,
      unfinishedCommit: commits?.pending === true && commits.progress === undefined,
      commitsTotal: commits?.total ?? 0,
    };
  }

  get dirty(): boolean {
    return !(this.#attached?.image.overlay ?? this.#replayed).empty;
  }

  async update<T>(task: (update: ImageUpdate) => Promise<T>, { atomic = false }: UpdateOptions): Promise<T> {
    if (this.#closing !== undefined) throw this.#closedError();
    this.catchUp();
    // When little space is left, wait for a compaction to free some.
    if (this.#journal.counters.bytes > ALMOST_FULL * this.#limitBytes) {
      this.#attached?.compaction.startWhenWorth();
      await this.#attached?.compaction.finished();
    }
    return this.#updates.run(async () => {
      const attached = this.#requireAttached();
      const { image, structure } = attached;
      if (this.stale) throw this.#staleError();
      const changes = new ImageChanges(image, structure.checksums, () => this.#readyJournal(), atomic);
      this.#changes = changes;
      try {
        const result = await task(changes);
        await changes.finish();
        this.#publish(attached, changes);
        return result;
      } catch (cause) {
        // Replay applies what a plain update journalled before it failed, so it counts now, too.
        if (atomic) await changes.withdraw();
        else this.#publish(attached, changes);
        throw cause;
      } finally {
        this.#changes = undefined;
        this.#startLane(image);
      }
    });
  }

  /** Takes up what the data plane has written, in its order. */
  catchUp(): void {
    const attached = this.#attached;
    const lane = attached?.image.lane;
    if (attached === undefined || lane === undefined || this.#catchingUp) return;
    this.#catchingUp = true;
    try {
      const taken = lane.take();
      if (taken === undefined) return;
      this.#adopt(attached, taken);
      lane.applied();
    } finally {
      this.#catchingUp = false;
    }
  }

  /** Resolves when every acknowledged edit is durable. */
  async flush(): Promise<void> {
    this.catchUp();
    await this.#journal.sync();
    this.#attached?.image.lane?.setDurable(this.#journal.durableSequence);
  }

  /** Folds the dirty ranges into the checkpoint, checksums included. Throws ERR_MLFS_STALE, ERR_MLFS_ACCESS, ERR_MLFS_IO. */
  commit(options: FoldOptions = {}): Promise<CommitReport> {
    return this.#inTurn((commits) => commits.commit(options));
  }

  /** Writes the image with right checksums to a new file, which appears when it is complete; the edits stay as they are. */
  commitTo(path: string, options: CommitToOptions = {}): Promise<CommitReport> {
    return this.#inTurn((commits) => commits.commitTo(path, options));
  }

  /** Drops every edit that was not committed. Gradients stay. */
  discard(): Promise<CommitReport> {
    return this.#inTurn((commits) => commits.discard());
  }

  /** Releases the state directory after everything that was requested before, a running commit included. Later requests fail with EROFS. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // First, because only an image with an editor takes up what the data plane has written. It waits for no commit that is running.
    await this.#stopLane();
    this.#attached?.image.makeWritable(undefined);
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

  /** Runs commits and discards one at a time. */
  async #inTurn<T>(task: (commits: Commits) => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw this.#closedError();
    return this.#decisions.run(async () => task(this.#requireAttached().commits));
  }

  #closedError(): MlfsError {
    return errno('EROFS', `${this.#path}: is not writable any more`);
  }

  #requireAttached(): Attached {
    if (this.#attached === undefined || this.#closed) throw this.#closedError();
    return this.#attached;
  }

  #attach(image: Image, structure: FileStructure): Attached {
    const journal = this.#journal;
    const updates = this.#updates;
    const commits = new Commits({
      medium: this.#medium,
      path: this.#path,
      state: this.#state,
      journal,
      image,
      structure,
      updates,
    });
    const compaction = new Compaction({
      journal,
      image,
      structure,
      updates,
      decisions: this.#decisions,
      limitBytes: this.#limitBytes,
      ended: () => this.#closed,
      commitPending: () => commits.pending,
    });
    this.#attached = { image, structure, commits, compaction };
    return this.#attached;
  }

  #publish({ image, compaction }: Attached, changes: ImageChanges): void {
    const change = changes.publish();
    if (change === undefined) return;
    image.changed(change);
    compaction.defragment(change.chunks);
    compaction.startWhenWorth();
  }

  /** From here until `#stopLane` only the data plane changes the journal and the overlay. */
  #startLane(image: Image): void {
    if (image.lane?.wanted !== true || this.stale || this.#closing !== undefined) return;
    const target = this.#journal.laneTarget(ALMOST_FULL * this.#limitBytes);
    if (target === undefined) return;
    try {
      image.lane.open(target);
    } catch {
      // There is no descriptor left for the data plane, for example: writes come to JavaScript.
    }
  }

  async #stopLane(): Promise<void> {
    await this.#attached?.image.lane?.close();
    this.catchUp();
  }

  #adopt(attached: Attached, { writes, torn }: LaneWrites): void {
    const { image, structure, compaction } = attached;
    const appends = writes.filter(({ runs }) => runs.length > 0);
    if (appends.length === 0 && !torn) return;
    const segment = this.#journal.adopt(
      appends.map(({ runs }) => runs.map(({ start, end }) => end - start)),
      torn,
    );
    const touched = new Set<number>();
    for (const { nodeid, atMs, runs } of byInode(appends)) {
      const chunks = new Set<number>();
      const checksums: ChecksumChanges = new Map();
      const placed: PlacedRange[] = [];
      for (const { start, end, fileOffset, difference } of runs) {
        placed.push({ start, end, placement: { ...segment, fileOffset } });
        structure.checksums.changeBy(checksums, start, end - start, difference);
      }
      image.overlay.setAll(placed, chunks);
      structure.checksums.apply(checksums);
      image.changed({ ranges: mergedRanges(placed), chunks, native: { nodeid, atMs } });
      for (const chunk of chunks) touched.add(chunk);
    }
    compaction.defragment(touched);
    compaction.startWhenWorth();
  }

  /** The journal; first makes the state directory and base.json, which names the file that the journal's offsets refer to. */
  async #readyJournal(): Promise<Journal> {
    if (this.#ready) return this.#journal;
    const { image, structure } = this.#requireAttached();
    const base = await describeBase(this.#path, image.base, structure);
    await this.#state.ensure(base);
    const recorded = await this.#state.readBase();
    if (JSON.stringify(recorded) !== JSON.stringify(base)) await this.#state.writeBase(base);
    this.#ready = true;
    return this.#journal;
  }

  #staleError(): MlfsError {
    return new MlfsError('ERR_MLFS_STALE', `${this.#path}: is not the file that was mounted any more`, {
      path: this.#path,
      advice: 'keep the edits: mlfs commit --to NEW.pt; or drop them: mlfs discard, and mlfs reload',
    });
  }

  get #limitBytes(): number {
    return this.#options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  /** After a failed sync the journal rewrote what was not durable. */
  #follow(moved: readonly MovedBytes[]): void {
    this.#changes?.move(moved);
    const chunks = new Set<number>();
    const image = this.#attached?.image;
    image?.overlay.move(moved, chunks);
    image?.changed({ ranges: [], chunks });
  }
}
