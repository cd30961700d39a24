/**
 * A checkpoint opened for writing: the file, its lock, its state directory and its edits. The file is opened by name once; every later step
 * uses that descriptor, because the name may lead to another file by then. The order matters, since each step relies on the one before:
 *
 * 1. Lock the file (one process a checkpoint).
 * 2. Replay the journal.
 * 3. Parse the file.
 * 4. Finish an interrupted commit, within the bounds that the parsed file gives, and parse the file again.
 * 5. Attach the edits.
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
  /** For the message that another process gets. */
  readonly mountpoint?: string | undefined;
  /** Receives notices about what another user left in the way, and what is done about it. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

export class WritableCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly edits: Edits;
  /** What the tree needs to be writable. */
  readonly editing: Omit<TreeEditing, 'control'>;
  /** Whether opening finished an interrupted commit. */
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

  /** Throws ERR_MLFS_BUSY (another process has it), ERR_MLFS_RECOVERY, and what opening a checkpoint throws. */
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
        // The lock file of the state directory locks instead, from now on.
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
      // Every step runs; the first failure is the one to report.
      for (const step of undo.reverse()) await step().catch(() => undefined);
      throw cause;
    }
  }

  /** A nameless file that disappears with this process. */
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

  /** The edits stay in the journal. Another process may take them now; the file can still be read here. */
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
  return `${path}: ${who} has locked it, and this lock is ignored`;
}
