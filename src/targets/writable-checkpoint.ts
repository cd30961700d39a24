/**
 * A checkpoint opened for writing: the file, its lock, its state directory, its edits. The file is opened by its name once; everything
 * later goes by that descriptor, because the name may lead to another file by then. In this order, because each step relies on the one
 * before: the lock on the file (one process a checkpoint), the replay of the journal, the file's own contents, the end of a commit that was
 * interrupted (which only the contents say how to bound, and after which they are read again), and then the edits on top of them.
 */
import { resolve } from 'node:path';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { fileStructure } from '../checkpoint/file-structure.ts';
import { openCheckpointIn, openSource } from '../checkpoint/open.ts';
import { diskMedium } from '../storage/disk-medium.ts';
import { Edits } from '../storage/edits.ts';
import type { FileLock, Stranger } from '../storage/lock.ts';
import { lockOpenFile } from '../storage/reopen.ts';
import { StateDirectory } from '../storage/state-directory.ts';
import type { StateFile } from '../storage/state-file.ts';
import type { TreeEditing } from '../tree/build-tree.ts';

export interface EditingOptions {
  /** `--state DIR`. */
  readonly stateDirectory?: string | undefined;
  readonly journalLimitBytes?: number | undefined;
  /** For the message that somebody else gets. */
  readonly mountpoint?: string | undefined;
  /** Hears of what another user left in the way, and what is done about it. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

export class WritableCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly edits: Edits;
  /** What the tree must know to be writable. */
  readonly editing: Omit<TreeEditing, 'control'>;
  /** A commit had been interrupted, and opening finished it. */
  readonly finishedCommit: boolean;
  readonly state: StateDirectory;
  readonly #lock: FileLock;

  private constructor(
    opened: Pick<WritableCheckpoint, 'checkpoint' | 'edits' | 'editing' | 'finishedCommit'>,
    state: StateDirectory,
    lock: FileLock,
  ) {
    this.checkpoint = opened.checkpoint;
    this.edits = opened.edits;
    this.editing = opened.editing;
    this.finishedCommit = opened.finishedCommit;
    this.state = state;
    this.#lock = lock;
  }

  /** Throws ERR_MLFS_BUSY (somebody else has it), ERR_MLFS_RECOVERY, and what opening a checkpoint throws. */
  static async open(path: string, options: EditingOptions = {}): Promise<WritableCheckpoint> {
    const source = await openSource(path);
    const undo: (() => Promise<void>)[] = [() => source.close()];
    try {
      const lock = await lockOpenFile(source.fd, path);
      undo.push(() => lock.release());
      const state = await StateDirectory.locate(diskMedium, resolve(path), {
        directory: options.stateDirectory,
        mountpoint: options.mountpoint,
        onNotice: options.onNotice,
      });
      undo.push(() => state.close());
      if (lock.stranger !== undefined) {
        options.onNotice?.(ignoredLock(path, lock.stranger));
        // The lock file of the state directory locks instead, and from now on.
        await state.claim();
      }
      const { journalLimitBytes: limitBytes } = options;
      const edits = await Edits.recover(diskMedium, resolve(path), state, { limitBytes });
      undo.push(() => edits.close());
      let checkpoint = await openCheckpointIn(source);
      const finishedCommit = edits.interruptedCommit;
      if (finishedCommit) {
        await edits.finishInterrupted(source, fileStructure(checkpoint));
        checkpoint = await openCheckpointIn(source);
      }
      const structure = fileStructure(checkpoint);
      await edits.attach(checkpoint.image, structure);
      const editing = {
        checksums: structure.checksums,
        gradientSizes: await state.gradients(),
        gradient: (name: string, size: number, maxSize: number) => state.gradient(name, size, maxSize),
      };
      return new WritableCheckpoint({ checkpoint, edits, editing, finishedCommit }, state, lock);
    } catch (cause) {
      // The first failure is the one to tell; each step is done all the same.
      for (const step of undo.reverse()) await step().catch(() => undefined);
      throw cause;
    }
  }

  /** A nameless file, gone with this process. */
  makeScratch(): StateFile {
    return this.state.scratch();
  }

  get activationsPath(): string {
    return this.state.activationsPath;
  }

  openActivations(): Promise<number | undefined> {
    return this.state.openActivations();
  }

  makeActivations(): Promise<void> {
    return this.state.makeActivations();
  }

  /** The edits stay in the journal. Somebody else may have them now; the file can still be read here. */
  async stopEditing(): Promise<void> {
    try {
      await this.edits.close();
    } finally {
      await this.#lock.release();
    }
  }

  async close(): Promise<void> {
    try {
      await this.stopEditing();
    } finally {
      await this.checkpoint.close();
    }
  }
}

function ignoredLock(path: string, { pid }: Stranger): string {
  const who = pid === undefined ? 'a process of another user' : `process ${pid} of another user`;
  return `${path}: ${who} has locked it, which does not count`;
}
