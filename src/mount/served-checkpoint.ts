/**
 * The checkpoint behind a mount, and what can be done with its edits: what /sys/control, the signals and the library call. Its file may
 * be replaced while it is served: `reload` opens the new one, with a tree of its own, and puts it in the old one's place in one step.
 *
 * Invariants: what is served was opened and has a tree; the old one is let go when nobody can ask for it any more; edits are never
 * carried over to another file.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import type { FoldersOptions } from '../activations/folders.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import { errno, MlfsError } from '../errors.ts';
import { type InodeTree, ROOT_NODEID } from '../inode.ts';
import type { CommitReport, Edits } from '../storage/edits.ts';
import { freeBytesAt } from '../storage/free-bytes.ts';
import type { ImageEditor } from '../storage/image.ts';
import type { StateFile } from '../storage/state-file.ts';
import { adviseCommit } from '../targets/commit-advice.ts';
import type { CommitRequest } from '../targets/edit-target.ts';
import { type EditingOptions, WritableCheckpoint } from '../targets/writable-checkpoint.ts';
import type { Log } from '../telemetry/log.ts';
import type { BuiltTree, TreeEditing } from '../tree/build-tree.ts';
import { type BaseState, isSameState } from './base-watch.ts';

/** What was opened: with edits, or to be looked at only. */
export interface OpenedFile {
  readonly checkpoint: Checkpoint;
  readonly edits: Edits | undefined;
  /** What the tree must know to be writable. */
  readonly editing: Omit<TreeEditing, 'control'> | undefined;
  /** A nameless file, gone with this process. */
  makeScratch(): StateFile;
  /** Where the files of /activations are, or would be. */
  readonly activationsPath: string;
  /** A descriptor of that folder for the caller to close; undefined where only the path leads there. Throws ERR_MLFS_NOT_FOUND. */
  openActivations(): Promise<number | undefined>;
  makeActivations(): Promise<void>;
  /** A commit had been interrupted, and opening finished it. */
  readonly finishedCommit: boolean;
  /** Gives up the edits and the lock; the file can still be read. */
  stopEditing(): Promise<void>;
  close(): Promise<void>;
}

/** What shows a tree: the mounted file system. */
export interface Stage {
  /** Resolves when nobody finds the old tree by its names any more. */
  replaceTree(tree: InodeTree): Promise<void>;
  /** Whether anybody can ask for an inode of this tree. */
  serves(tree: InodeTree): boolean;
}

export interface ServedOptions {
  /** As the user named it. */
  readonly path: string;
  readonly mountpoint: string;
  readonly readOnly: boolean;
  readonly editing: EditingOptions;
  readonly log: Log;
  /** `firstNodeid`: those below were given out. */
  readonly build: (opened: OpenedFile, firstNodeid: number) => BuiltTree;
}

export class ServedCheckpoint {
  readonly #options: ServedOptions;
  #opened: OpenedFile;
  #built: BuiltTree;
  #stage: Stage | undefined;
  /** Replaced by another file; who has one of their files open goes on reading it. */
  #retired: { readonly opened: OpenedFile; readonly tree: InodeTree }[] = [];
  #sweep: NodeJS.Timeout | undefined;
  #nextNodeid = ROOT_NODEID + 1;
  #commitsUnderWay = 0;
  #reloads = 0;

  private constructor(options: ServedOptions, opened: OpenedFile) {
    this.#options = options;
    this.#opened = opened;
    this.#built = options.build(opened, this.#nextNodeid);
    this.#nextNodeid += this.#built.tree.inodeCount;
  }

  /** Throws ERR_MLFS_BUSY, ERR_MLFS_RECOVERY, and what opening a checkpoint throws. */
  static async open(options: ServedOptions): Promise<ServedCheckpoint> {
    const opened = await openFile(options);
    try {
      return new ServedCheckpoint(options, opened);
    } catch (cause) {
      await opened.close();
      throw cause;
    }
  }

  get checkpoint(): Checkpoint {
    return this.#opened.checkpoint;
  }

  get edits(): Edits | undefined {
    return this.#opened.edits;
  }

  get built(): BuiltTree {
    return this.#built;
  }

  get finishedCommit(): boolean {
    return this.#opened.finishedCommit;
  }

  get reloadsTotal(): number {
    return this.#reloads;
  }

  /** Whether the checkpoint file is being changed by ourselves. */
  get committing(): boolean {
    return this.#commitsUnderWay > 0 || (this.edits?.status.unfinishedCommit ?? false);
  }

  /** Where the tree is shown, and a later one in its place. */
  showOn(stage: Stage): void {
    this.#stage = stage;
  }

  /** What the watch on the file found: edits of a file that is not there any more are refused. */
  judge(state: BaseState): void {
    if (this.edits !== undefined) this.edits.stale = state.stale;
  }

  async commit(options: Pick<CommitRequest, 'dryRun' | 'onProgress'> = {}): Promise<CommitReport> {
    const edits = this.#writable();
    this.#commitsUnderWay++;
    try {
      const report = await edits.commit(options);
      if (!options.dryRun && report.bytes > 0) this.#options.log.info('committed', { ...report });
      return report;
    } catch (cause) {
      throw adviseCommit(cause, this.#options.mountpoint);
    } finally {
      this.#commitsUnderWay--;
    }
  }

  /** `path` is absolute. */
  async commitTo(
    path: string,
    options: Pick<CommitRequest, 'dryRun' | 'onProgress' | 'overwrite'> = {},
  ): Promise<CommitReport> {
    const edits = this.#writable();
    await this.#refuseTarget(path);
    const report = await edits.commitTo(path, options);
    if (!options.dryRun) this.#options.log.info('committed', { to: path, ...report });
    return report;
  }

  async discard(): Promise<CommitReport> {
    const report = await this.#writable().discard();
    if (report.bytes > 0) this.#options.log.info('discarded', { bytes: report.bytes, ranges: report.ranges });
    return report;
  }

  /** A nameless file, gone with this process. */
  makeScratch(): StateFile {
    return this.#opened.makeScratch();
  }

  /** Where the files of /activations lie: in the state directory. `makeFolder` makes it, with all above it. */
  activations(): FoldersOptions {
    return {
      folder: this.#opened.activationsPath,
      openFolder: () => this.#opened.openActivations(),
      makeFolder: () => this.#opened.makeActivations(),
    };
  }

  async flush(): Promise<void> {
    await this.edits?.flush();
  }

  /** What edits may still take: of the disk that the state directory is on, or of the journal's limit. 0 when nothing is edited. */
  async freeBytes(): Promise<number> {
    const status = this.edits?.status;
    if (status === undefined) return 0;
    const free = await freeBytesAt(status.stateDirectory);
    const { limitBytes = Number.POSITIVE_INFINITY, bytes } = status.journal;
    return Math.max(0, Math.min(free, limitBytes - bytes));
  }

  /**
   * Makes the file that has the checkpoint's name now the content of the mount. Throws ERR_MLFS_BUSY when there are edits, and what
   * opening throws; then everything stays as it is.
   */
  async reload(): Promise<object> {
    const { edits, checkpoint } = this.#opened;
    // Whether it is a checkpoint at all, before anything is given up for it.
    const probe = await openCheckpoint(this.#options.path);
    const { fingerprint } = probe.image.base;
    await probe.close();
    if (isSameState(fingerprint, checkpoint.image.base.fingerprint)) return { reloaded: false };
    if (edits !== undefined) await this.#settle(edits, checkpoint);

    const old = this.#opened;
    await old.stopEditing();
    old.checkpoint.image.makeWritable(REPLACED);
    const opened = await openFile(this.#options);
    const built = await this.#builtFor(opened);
    this.#nextNodeid += built.tree.inodeCount;
    this.#retired.push({ opened: old, tree: this.#built.tree });
    this.#opened = opened;
    this.#built = built;
    this.#reloads++;
    await this.#stage?.replaceTree(built.tree);
    this.#sweep ??= setInterval(() => void this.#letGo(), SWEEP_MS).unref();
    this.#options.log.info('reloaded', { checkpoint: this.#options.path, tensors: built.tensors });
    return { reloaded: true, tensors: built.tensors, bytes: built.tree.totalBytes };
  }

  /** Ends everything. The edits stay in the journal. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const { opened } of this.#retired) await opened.close();
    await this.#opened.close();
  }

  async #builtFor(opened: OpenedFile): Promise<BuiltTree> {
    try {
      return this.#options.build(opened, this.#nextNodeid);
    } catch (cause) {
      await opened.close();
      throw cause;
    }
  }

  /** Closes the files that nobody can ask for any more. */
  async #letGo(): Promise<void> {
    const unused = this.#retired.filter(({ tree }) => this.#stage?.serves(tree) === false);
    this.#retired = this.#retired.filter((retired) => !unused.includes(retired));
    for (const { opened } of unused) await opened.close();
  }

  #writable(): Edits {
    if (this.edits !== undefined) return this.edits;
    const { mountpoint } = this.#options;
    throw new MlfsError('ERR_MLFS_USAGE', `${mountpoint}: is mounted read-only`, {
      path: mountpoint,
      errno: 'EROFS',
    });
  }

  /** Refuses to leave edits behind. What was begun before is waited for. */
  async #settle(edits: Edits, { image }: Checkpoint): Promise<void> {
    // The base is another one already: nothing new is accepted, and when it is this one's turn nothing is under way.
    edits.stale = true;
    await image.update(async () => undefined).catch(() => undefined);
    const { dirtyBytes, dirtyRanges, unfinishedCommit } = edits.status;
    if (dirtyBytes === 0 && !unfinishedCommit) return;
    const { path, mountpoint } = this.#options;
    const ranges = `${dirtyRanges} ${dirtyRanges === 1 ? 'range' : 'ranges'}`;
    throw new MlfsError(
      'ERR_MLFS_BUSY',
      `${path}: ${dirtyBytes} bytes of edits in ${ranges} belong to the file that was there before`,
      {
        path,
        advice: `mlfs commit ${mountpoint} --to NEW.pt keeps them in a file of their own, mlfs discard ${mountpoint} drops them`,
      },
    );
  }

  async #refuseTarget(path: string): Promise<void> {
    const { mountpoint, path: own } = this.#options;
    const folder = await realpath(dirname(path)).catch(() => dirname(path));
    const target = join(folder, basename(path));
    if (path.startsWith(mountpoint + sep) || target.startsWith(mountpoint + sep)) {
      throw new MlfsError('ERR_MLFS_USAGE', `${path}: lies in the mount itself`, { path });
    }
    if (target === (await realpath(own).catch(() => own))) {
      throw new MlfsError('ERR_MLFS_USAGE', `${path}: is the checkpoint that is mounted`, {
        path,
        advice: `mlfs commit ${mountpoint}`,
      });
    }
  }
}

const SWEEP_MS = 5000;

/** Whoever has a file of a checkpoint that was replaced open may read it and not write it. */
const REPLACED: ImageEditor = {
  update: () => Promise.reject(errno('ESTALE', 'the checkpoint was replaced')),
};

async function openFile({ path, readOnly, editing }: ServedOptions): Promise<OpenedFile> {
  if (!readOnly) return WritableCheckpoint.open(path, editing);
  const checkpoint = await openCheckpoint(path);
  return {
    checkpoint,
    edits: undefined,
    editing: undefined,
    makeScratch: () => {
      throw errno('EROFS');
    },
    activationsPath: '',
    openActivations: () => Promise.reject(errno('EROFS')),
    makeActivations: () => Promise.reject(errno('EROFS')),
    finishedCommit: false,
    stopEditing: () => Promise.resolve(),
    close: () => checkpoint.close(),
  };
}
