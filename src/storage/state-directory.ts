/**
 * The state directory `<checkpoint>.mlfs/`: lock, base.json, journal/, grads/, activations/. Made at the first write and not before. Beside the
 * checkpoint, or in the user's XDG state directory when that place cannot be written, or where `--state` says. docs/FORMATS.md has the
 * files.
 *
 * Invariants: base.json is durable before the first record of the journal is; it is replaced in one step. Nothing is removed by who does
 * not have the lock, and a directory that keeps nothing is taken away.
 */
import { createHash } from 'node:crypto';
import { access, constants, realpath } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { MlfsError } from '../errors.ts';
import { type BaseRecord, decodeBase, encodeBase, MAX_BASE_BYTES } from './base-record.ts';
import { CONTINUED, gradientName, gradientPath } from './gradient-name.ts';
import { type FileLock, takeLock } from './lock.ts';
import type { Medium, MediumFile } from './medium.ts';
import { StateFile } from './state-file.ts';
import { unnamedFile } from './unnamed-file.ts';

/** Where a checkpoint's state is, or would be. */
export interface StateOptions {
  /** `--state DIR`: the state directory itself. */
  readonly directory?: string;
  /** Who holds the lock, for the message that somebody else gets. */
  readonly mountpoint?: string;
}

const LOCK = 'lock';
const BASE = 'base.json';
const BASE_DRAFT = 'base.json.new';
const JOURNAL = 'journal';
const GRADIENTS = 'grads';
const ACTIVATIONS = 'activations';
/** What may be in a directory that keeps nothing. */
const OWN_NAMES: readonly string[] = [LOCK, BASE, BASE_DRAFT, JOURNAL, GRADIENTS, ACTIVATIONS];

export class StateDirectory {
  readonly path: string;
  readonly #medium: Medium;
  readonly #mountpoint: string | undefined;
  #exists: boolean;
  #lock: FileLock | undefined;
  #made: Promise<void> | undefined;
  /** As base.json has it, durably. */
  #base: string | undefined;

  private constructor(medium: Medium, path: string, exists: boolean, mountpoint: string | undefined) {
    this.#medium = medium;
    this.path = path;
    this.#exists = exists;
    this.#mountpoint = mountpoint;
  }

  /** Finds the place and whether it is there; makes nothing. */
  static async locate(
    medium: Medium,
    checkpointPath: string,
    { directory, mountpoint }: StateOptions = {},
  ): Promise<StateDirectory> {
    const isThere = async (path: string) => (await medium.list(path)).length > 0;
    const found = async (path: string) => new StateDirectory(medium, path, await isThere(path), mountpoint);
    if (directory !== undefined) return found(resolve(directory));
    const checkpoint = await realpath(checkpointPath).catch(() => resolve(checkpointPath));
    const beside = `${checkpoint}.mlfs`;
    const elsewhere = inUserState(checkpoint);
    for (const path of [beside, elsewhere]) if (await isThere(path)) return found(path);
    return found((await isWritable(dirname(checkpoint))) ? beside : elsewhere);
  }

  get journalPath(): string {
    return join(this.path, JOURNAL);
  }

  /** Where the files of /activations are, or would be. */
  get activationsPath(): string {
    return join(this.path, ACTIVATIONS);
  }

  exists(): boolean {
    return this.#exists;
  }

  /** Takes the lock of an existing directory; throws ERR_MLFS_BUSY that names the other's pid and mount point. */
  async lock(): Promise<void> {
    this.#lock ??= await takeLock(this.#medium, join(this.path, LOCK), this.#mountpoint);
  }

  /** Makes the directory with base.json, durably, and takes the lock. Does nothing when it did so before. */
  async ensure(base: BaseRecord): Promise<void> {
    if (this.#base === encodeBase(base)) return;
    await this.#ensureFolder();
    await this.writeBase(base);
  }

  /** Undefined when there is none; ERR_MLFS_RECOVERY when it cannot be read. */
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

  /** Names and sizes of the gradients that are there. */
  async gradients(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    await this.#collectGradients([], found);
    return found;
  }

  /** The gradient of a tensor; `name` is any string and is escaped. Its file is made at the first write. */
  gradient(name: string, size: number, maxSize: number): StateFile {
    return new StateFile(() => this.#openGradient(gradientPath(name)), size, maxSize);
  }

  /** Makes the folder of /activations, if need be, and takes the lock. */
  async makeActivations(): Promise<void> {
    await this.#ensureFolder();
    await this.#medium.makeDirectory(this.activationsPath);
    await this.#medium.syncDirectory(this.path);
  }

  /** A file without a name, gone with this process. */
  scratch(): StateFile {
    return new StateFile(() => unnamedFile(this.path), 0, Number.MAX_SAFE_INTEGER);
  }

  /** Releases the lock, and takes the directory away again if nothing is kept in it (no journal record, no gradient, no activation). */
  async close(): Promise<void> {
    const lock = this.#lock;
    if (lock === undefined) return;
    this.#lock = undefined;
    this.#made = undefined;
    this.#base = undefined;
    try {
      if (await this.#keepsNothing()) await this.#takeAway();
    } finally {
      await lock.release();
    }
  }

  /** The folder and its lock, without base.json: gradients do not refer to the checkpoint's bytes. */
  #ensureFolder(): Promise<void> {
    this.#made ??= this.#makeFolder().catch((cause: unknown) => {
      this.#made = undefined;
      throw cause;
    });
    return this.#made;
  }

  async #makeFolder(): Promise<void> {
    await this.#medium.makeDirectory(this.path);
    await this.#medium.syncDirectory(dirname(this.path));
    await this.lock();
    this.#exists = true;
  }

  async #openGradient(parts: readonly string[]): Promise<MediumFile> {
    const path = join(this.path, GRADIENTS, ...parts);
    const folder = dirname(path);
    const name = basename(path);
    if ((await this.#medium.list(folder)).includes(name)) return this.#medium.open(path, 'write');
    await this.#ensureFolder();
    await this.#medium.makeDirectory(folder);
    await this.#medium.syncDirectory(this.path);
    const file = await this.#medium.open(path, 'create');
    await this.#medium.syncDirectory(folder);
    return file;
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

  /** The lock file goes last, and its lock after it: who waits for it finds another file there, or none. */
  async #takeAway(): Promise<void> {
    await this.#removeAllIn(join(this.path, GRADIENTS));
    const names = await this.#medium.list(this.path);
    for (const name of OWN_NAMES.toReversed()) {
      if (names.includes(name)) await this.#medium.remove(join(this.path, name));
    }
    if (names.length > 0) await this.#medium.remove(this.path);
    this.#exists = false;
  }

  async #removeAllIn(folder: string): Promise<void> {
    for (const name of await this.#medium.list(folder)) {
      if (name.endsWith(CONTINUED)) await this.#removeAllIn(join(folder, name));
      await this.#medium.remove(join(folder, name));
    }
  }
}

/** `${XDG_STATE_HOME}/mlfs/NAME-HASH`, the hash being that of the absolute path. */
function inUserState(checkpoint: string): string {
  const { XDG_STATE_HOME: configured } = process.env;
  // The specification says to ignore one that is not absolute.
  const home =
    configured !== undefined && isAbsolute(configured) ? configured : join(homedir(), '.local', 'state');
  const hash = createHash('sha256').update(checkpoint).digest('hex').slice(0, 16);
  return join(home, 'mlfs', `${basename(checkpoint).slice(0, 100)}-${hash}`);
}

/** False on a file system that is mounted read-only, too. */
async function isWritable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK);
    return true;
  } catch (cause) {
    // A folder of a medium that is not this machine's disk: its own errors will tell.
    return (cause as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
