/**
 * The checkpoint behind a mount and what can be done with its edits: the functions that /sys/control, the signals and the library call. The
 * file may be replaced while it is served: `reload` opens the new file, builds its tree, and replaces the old one in one step.
 *
 * Invariants: what is served was opened and has a tree; the old checkpoint is closed when no request can reach it any more; edits are never
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

/** What was opened: with edits, or read-only. */
export interface OpenedFile {
  readonly checkpoint: Checkpoint;
  readonly edits: Edits | undefined;
  /** What the tree needs to be writable. */
  readonly editing: Omit<TreeEditing, 'control'> | undefined;
  /** A nameless file that disappears with this process. */
  makeScratch(): StateFile;
  /** The path of the files of /activations, which need not exist yet. */
  readonly activationsPath: string;
  /** A descriptor of that folder, which the caller closes; undefined where there is only a path. Throws ERR_MLFS_NOT_FOUND. */
  openActivations(): Promise<number | undefined>;
  makeActivations(): Promise<void>;
  /** Whether opening finished an interrupted commit. */
  readonly finishedCommit: boolean;
  /** Releases the edits and the lock; the file can still be read. */
  stopEditing(): Promise<void>;
  close(): Promise<void>;
}

/** What shows a tree: the mounted file system. */
export interface Stage {
  /** Resolves when the old tree cannot be reached by its names any more. */
  replaceTree(tree: InodeTree): Promise<void>;
  /** Whether a request can still name an inode of this tree. */
  serves(tree: InodeTree): boolean;
}

export interface ServedOptions {
  /** The path as the user gave it. */
  readonly path: string;
  readonly mountpoint: string;
  readonly readOnly: boolean;
  readonly editing: EditingOptions;
  readonly log: Log;
  /** `firstNodeid`: smaller nodeids are in use. */
  readonly build: (opened: OpenedFile, firstNodeid: number) => BuiltTree;
  /** Called when another tree was built, before it is shown. */
  readonly onReplace?: (opened: OpenedFile, built: BuiltTree, firstNodeid: number) => void;
}

export class ServedCheckpoint {
  readonly #options: ServedOptions;
  #opened: OpenedFile;
  #built: BuiltTree;
  #stage: Stage | undefined;
  /** Checkpoints that were replaced; a process that has one of their files open can still read it. */
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

  /** Whether we are writing the checkpoint file ourselves. */
  get committing(): boolean {
    return this.#commitsUnderWay > 0 || (this.edits?.status.unfinishedCommit ?? false);
  }

  /** Sets where the tree, and each later tree, is shown. */
  showOn(stage: Stage): void {
    this.#stage = stage;
  }

  /** The result of watching the file: edits are refused when the file has been replaced. */
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

  /** A nameless file that disappears with this process. */
  makeScratch(): StateFile {
    return this.#opened.makeScratch();
  }

  /** The folder of /activations in the state directory. `makeFolder` makes it and its parents. */
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

  /** Free bytes for edits: of the state directory's disk, or of the journal's limit. 0 on a read-only mount. */
  async freeBytes(): Promise<number> {
    const status = this.edits?.status;
    if (status === undefined) return 0;
    const free = await freeBytesAt(status.stateDirectory);
    const { limitBytes = Number.POSITIVE_INFINITY, bytes } = status.journal;
    return Math.max(0, Math.min(free, limitBytes - bytes));
  }

  /**
   * Makes the file that has the checkpoint's name now the content of the mount. Throws ERR_MLFS_BUSY when there are edits, and what opening
   * throws; in both cases nothing changes.
   */
  async reload(): Promise<object> {
    const { edits, checkpoint } = this.#opened;
    // Check that it is a checkpoint before anything is released for it.
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
    this.#options.onReplace?.(opened, built, this.#nextNodeid);
    this.#nextNodeid += built.tree.inodeCount;
    this.#retired.push({ opened: old, tree: this.#built.tree });
    this.#opened = opened;
    this.#built = built;
    this.#reloads++;
    await this.#stage?.replaceTree(built.tree);
    this.#sweep ??= setInterval(() => void this.#letGo(), SWEEP_MS).unref();
    this.#options.log.info('reloaded', { checkpoint: this.#options.path, tensors: built.tensors });
    return { reloaded: true, tensors: built.tensors, bytes: built.tensorBytes };
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

  /** Closes the files that no request can reach any more. */
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

  /** Refuses when edits would be left behind. Waits for operations that have begun. */
  async #settle(edits: Edits, { image }: Checkpoint): Promise<void> {
    // Updates are refused from here on, so none is running when this task's turn comes.
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
        advice: `mlfs commit ${mountpoint} --to NEW.pt writes them to a new file, mlfs discard ${mountpoint} drops them`,
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

/** A file of a replaced checkpoint that is still open can be read and not written. */
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
