/**
 * The state directory `<checkpoint>.mlfs/`: lock, base.json, journal/, grads/, activations/. It is made at the first write. state-place.ts
 * decides where it is; docs/FORMATS.md describes its files.
 *
 * Invariants: base.json is durable before the first record of the journal; it is replaced in one step. Only the process that holds the lock
 * removes anything, and an empty directory is removed. Everything in it is reached through `medium`, which refuses what is not the caller's
 * own (own-folder.ts).
 */
import { basename, dirname, join } from 'node:path';
import { MlfsError } from '../errors.ts';
import { type BaseRecord, decodeBase, encodeBase, MAX_BASE_BYTES } from './base-record.ts';
import { FewOpen } from './few-open.ts';
import { CONTINUED, gradientName, gradientPath } from './gradient-name.ts';
import { type FileLock, isLockTaken, takeLock } from './lock.ts';
import type { FolderMedium, Medium, MediumFile } from './medium.ts';
import { StateFile } from './state-file.ts';
import { findStatePlace, type StatePlace } from './state-place.ts';
import { unnamedFile } from './unnamed-file.ts';

/** Options that decide where a checkpoint's state directory is. */
export interface StateOptions {
  /** `--state DIR`: the state directory itself. */
  readonly directory?: string | undefined;
  /** The holder of the lock, for the message that another process gets. */
  readonly mountpoint?: string | undefined;
  /** Called when another user's state directory was skipped. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

/** Maximum number of open gradients. A model has one for each tensor, and any of them may be read at any time. */
const MOST_GRADIENTS_OPEN = 64;
const LOCK = 'lock';
const BASE = 'base.json';
const BASE_DRAFT = 'base.json.new';
const JOURNAL = 'journal';
const GRADIENTS = 'grads';
const ACTIVATIONS = 'activations';
/** Names in a directory that keeps nothing. */
const OWN_NAMES: readonly string[] = [LOCK, BASE, BASE_DRAFT, JOURNAL, GRADIENTS, ACTIVATIONS];

export class StateDirectory {
  readonly path: string;
  readonly #medium: FolderMedium | Medium;
  readonly #parent: string | undefined;
  readonly #mountpoint: string | undefined;
  readonly #gradientsOpen = new FewOpen(MOST_GRADIENTS_OPEN);
  #exists: boolean;
  #lock: FileLock | undefined;
  #made: Promise<void> | undefined;
  /** The durable contents of base.json. */
  #base: string | undefined;
  #closed = false;

  private constructor({ path, medium, exists, parent }: StatePlace, mountpoint: string | undefined) {
    this.path = path;
    this.#medium = medium;
    this.#exists = exists;
    this.#parent = parent;
    this.#mountpoint = mountpoint;
  }

  /** Finds the directory's place and whether it exists; makes nothing. Throws ERR_MLFS_ACCESS when it is another user's. */
  static async locate(
    medium: Medium,
    checkpointPath: string,
    { directory, mountpoint, onNotice = () => undefined }: StateOptions = {},
  ): Promise<StateDirectory> {
    return new StateDirectory(await findStatePlace(medium, checkpointPath, directory, onNotice), mountpoint);
  }

  /** The medium for the directory's contents. */
  get medium(): Medium {
    return this.#medium;
  }

  get journalPath(): string {
    return join(this.path, JOURNAL);
  }

  /** The folder of /activations, which need not exist yet. */
  get activationsPath(): string {
    return join(this.path, ACTIVATIONS);
  }

  /**
   * A descriptor of that folder, which the caller closes. Throws ERR_MLFS_NOT_FOUND when it does not exist, ERR_MLFS_ACCESS when it is
   * another user's. Undefined on a medium without descriptors.
   */
  async openActivations(): Promise<number | undefined> {
    return 'openDirectory' in this.#medium ? this.#medium.openDirectory(this.activationsPath) : undefined;
  }

  exists(): boolean {
    return this.#exists;
  }

  /** Whether a living process has the lock. Changes nothing. */
  isLocked(): Promise<boolean> {
    return isLockTaken(this.#medium, join(this.path, LOCK));
  }

  /** Takes the lock of an existing directory; throws ERR_MLFS_BUSY that names the holder's pid and mount point. */
  async lock(): Promise<void> {
    this.#lock ??= await takeLock(this.#medium, join(this.path, LOCK), this.#mountpoint);
  }

  /** Makes the directory, if necessary, and takes the lock. */
  claim(): Promise<void> {
    return this.#ensureFolder();
  }

  /** Makes the directory with base.json, durably, and takes the lock. Later calls do nothing. */
  async ensure(base: BaseRecord): Promise<void> {
    if (this.#base === encodeBase(base)) return;
    await this.#ensureFolder();
    await this.#inPlace(() => this.writeBase(base));
  }

  /** Undefined when it does not exist; throws ERR_MLFS_RECOVERY when it cannot be read. */
  async readBase(): Promise<BaseRecord | undefined> {
    if (!(await this.#medium.list(this.path)).includes(BASE)) return undefined;
    const path = join(this.path, BASE);
    const file = await this.#medium.open(path, 'read');
    try {
      const size = await file.size();
      if (size > MAX_BASE_BYTES) {
        throw new MlfsError(
          'ERR_MLFS_RECOVERY',
          `${path}: has ${size} bytes; MLFS writes at most ${MAX_BASE_BYTES}`,
          {
            path,
            advice: 'Restore it from a copy, or drop the edits that it belongs to: mlfs discard.',
          },
        );
      }
      return decodeBase((await file.read(0, size)).toString(), path);
    } finally {
      await file.close();
    }
  }

  /** Replaces base.json in one step, durably. */
  async writeBase(base: BaseRecord): Promise<void> {
    const draft = join(this.path, BASE_DRAFT);
    const text = encodeBase(base);
    if ((await this.#medium.list(this.path)).includes(BASE_DRAFT)) await this.#medium.remove(draft);
    const file = await this.#medium.open(draft, 'create');
    try {
      await file.write(0, [Buffer.from(text)]);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#medium.rename(draft, join(this.path, BASE));
    await this.#medium.syncDirectory(this.path);
    this.#base = text;
  }

  /** Names and sizes of the existing gradients. */
  async gradients(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    await this.#collectGradients([], found);
    return found;
  }

  /** The gradient of a tensor; `name` is any string and is escaped. The file is made at the first write. */
  gradient(name: string, size: number, maxSize: number): StateFile {
    return new StateFile({
      open: (again) => this.#openGradient(gradientPath(name), again),
      refuseChange: () => this.#refuseClosed(),
      size,
      maxSize,
      fewOpen: this.#gradientsOpen,
    });
  }

  /** Makes the folder of /activations, if necessary, and takes the lock. */
  async makeActivations(): Promise<void> {
    await this.#ensureFolder();
    await this.#inPlace(async () => {
      await this.#medium.makeDirectory(this.activationsPath);
      await this.#medium.syncDirectory(this.path);
    });
  }

  /** A nameless file that disappears with this process. */
  scratch(): StateFile {
    return new StateFile({
      open: () => unnamedFile(this.path),
      size: 0,
      maxSize: Number.MAX_SAFE_INTEGER,
    });
  }

  /**
   * Releases the lock, and removes the directory if it keeps nothing (no journal record, gradient or activation). Another process may take
   * the lock from here on, so a gradient that is still open can be read and not written.
   */
  async close(): Promise<void> {
    this.#closed = true;
    // A gradient may be making the folder and taking the lock right now.
    await this.#made?.catch(() => undefined);
    const lock = this.#lock;
    this.#lock = undefined;
    this.#made = undefined;
    this.#base = undefined;
    try {
      if (lock !== undefined && (await this.#keepsNothing())) await this.#takeAway();
    } finally {
      await lock?.release();
      await this.#closeMedium();
    }
  }

  #refuseClosed(): void {
    if (!this.#closed) return;
    throw new MlfsError('ERR_MLFS_STALE', `${this.path}: was closed; nothing is written`, {
      path: this.path,
      advice: 'open the file again',
    });
  }

  /** Makes the folder and takes its lock, without base.json: gradients do not refer to the checkpoint's bytes. */
  async #ensureFolder(): Promise<void> {
    this.#refuseClosed();
    this.#made ??= this.#makeFolder().catch((cause: unknown) => {
      this.#made = undefined;
      throw cause;
    });
    await this.#made;
  }

  async #makeFolder(): Promise<void> {
    await this.#medium.makeDirectory(this.path);
    await this.#medium.syncDirectory(dirname(this.path));
    await this.lock();
    this.#exists = true;
  }

  async #openGradient(parts: readonly string[], again: boolean): Promise<MediumFile> {
    const path = join(this.path, GRADIENTS, ...parts);
    if (this.#closed) return this.#openGivenUp(path);
    const folder = dirname(path);
    const name = basename(path);
    if ((await this.#medium.list(folder)).includes(name)) return this.#medium.open(path, 'write');
    if (again) {
      throw new MlfsError('ERR_MLFS_STALE', `${path}: was removed while it was in use`, {
        path,
        advice: 'put it back, or unmount and mount again',
      });
    }
    await this.#ensureFolder();
    return this.#inPlace(async () => {
      await this.#medium.makeDirectory(folder);
      await this.#medium.syncDirectory(this.path);
      const file = await this.#medium.open(path, 'create');
      await this.#medium.syncDirectory(folder);
      return file;
    });
  }

  /** Opens a gradient of a closed state directory for reading: changes are for the process that has the directory now. */
  async #openGivenUp(path: string): Promise<MediumFile> {
    try {
      return await this.#medium.open(path, 'read');
    } catch (cause) {
      if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_NOT_FOUND') throw cause;
      throw new MlfsError('ERR_MLFS_STALE', `${path}: is not there any more`, {
        path,
        cause,
        advice: 'open the file again',
      });
    } finally {
      // The open made it open the folder once more.
      await this.#closeMedium();
    }
  }

  async #closeMedium(): Promise<void> {
    if ('close' in this.#medium) await this.#medium.close();
  }

  /** Makes a change in the locked folder. Throws ERR_MLFS_STALE when another process removed the folder. */
  async #inPlace<T>(change: () => Promise<T>): Promise<T> {
    try {
      return await change();
    } catch (cause) {
      if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_NOT_FOUND') throw cause;
      throw new MlfsError(
        'ERR_MLFS_STALE',
        `${this.path}: was removed while it was in use; nothing is written`,
        {
          path: this.path,
          cause,
          advice: 'unmount and mount again',
        },
      );
    }
  }

  async #collectGradients(folder: readonly string[], found: Map<string, number>): Promise<void> {
    for (const part of await this.#medium.list(join(this.path, GRADIENTS, ...folder))) {
      const parts = [...folder, part];
      if (part.endsWith(CONTINUED)) {
        await this.#collectGradients(parts, found);
        continue;
      }
      const file = await this.#medium.open(join(this.path, GRADIENTS, ...parts), 'read');
      try {
        found.set(gradientName(parts), await file.size());
      } finally {
        await file.close();
      }
    }
  }

  async #keepsNothing(): Promise<boolean> {
    const names = await this.#medium.list(this.path);
    if (names.some((name) => !OWN_NAMES.includes(name))) return false;
    for (const folder of [this.journalPath, this.activationsPath]) {
      if ((await this.#medium.list(folder)).length > 0) return false;
    }
    const sizes = (await this.gradients()).values();
    return [...sizes].every((size) => size === 0);
  }

  /** The lock file is removed last and unlocked after that: a process that waits for it finds another file, or none. */
  async #takeAway(): Promise<void> {
    await this.#removeAllIn(join(this.path, GRADIENTS));
    const names = await this.#medium.list(this.path);
    for (const name of OWN_NAMES.toReversed()) {
      if (names.includes(name)) await this.#medium.remove(join(this.path, name));
    }
    if (names.length > 0) await this.#medium.remove(this.path);
    this.#exists = false;
    // Other checkpoints have their state directories in it, too.
    if (this.#parent !== undefined) await this.#medium.remove(this.#parent).catch(() => undefined);
  }

  async #removeAllIn(folder: string): Promise<void> {
    for (const name of await this.#medium.list(folder)) {
      if (name.endsWith(CONTINUED)) await this.#removeAllIn(join(folder, name));
      await this.#medium.remove(join(folder, name));
    }
  }
}
