/**
 * Names of the tree that a program removed. Many programs replace a file by removing it and making it again (tar, unzip, install, git
 * checkout, cp --remove-destination, mv from another file system). Tensors of a checkpoint cannot be removed, so a removal is treated as
 * the first half of a replacement: the name is hidden, and the bytes stay. When the name is made again, the new file replaces the bytes,
 * like a file opened with O_TRUNC. When that does not happen in time, the name reappears and the log says so.
 *
 * Invariants:
 * - Removing a name changes no byte, and nothing of it outlives the mount.
 * - A hidden name reappears under its old inode and in its old place in the listing.
 */
import type { DirectoryInode, FileInode, Inode } from '../inode.ts';

/** Programs make the file again at once. The time is long for a busy machine, and short for a user who misses the tensor. */
const REPLACEMENT_DEADLINE_MS = 10_000;

export interface RemovedNamesOptions {
  /** Names that reappeared because no file was made in time. */
  readonly expired: (names: readonly RemovedName[]) => void;
  /** A name of the folder was hidden, or is seen again. */
  readonly changed?: (directory: DirectoryInode) => void;
}

export interface RemovedName {
  readonly directory: DirectoryInode;
  readonly name: string;
  /** By a clock that cannot be set: `performance.now()`. */
  readonly deadlineMs: number;
}

export class RemovedNames {
  readonly #expired: (names: readonly RemovedName[]) => void;
  readonly #changed: (directory: DirectoryInode) => void;
  readonly #hidden = new Map<DirectoryInode, Map<string, RemovedName>>();
  /** How many of a file's names are hidden. */
  readonly #counts = new Map<Inode, number>();
  /** Those of `#hidden`, the earliest deadline first. */
  readonly #queue = new Set<RemovedName>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ expired, changed = () => undefined }: RemovedNamesOptions) {
    this.#expired = expired;
    this.#changed = changed;
  }

  /** The inode of a visible name in a folder. */
  child(directory: DirectoryInode, name: string): Inode | undefined {
    return this.#hides(directory, name) ? undefined : directory.children.get(name);
  }

  /** The file whose name is hidden and may be replaced. */
  waiting(directory: DirectoryInode, name: string): FileInode | undefined {
    return this.#hides(directory, name) ? (directory.children.get(name) as FileInode) : undefined;
  }

  /** The hidden names of a folder; undefined when there are none. */
  hiddenIn(directory: DirectoryInode): ReadonlyMap<string, unknown> | undefined {
    return this.#hidden.get(directory);
  }

  /** Of a name that is seen. Returns whether the file has no other name that is. */
  hide(directory: DirectoryInode, name: string): boolean {
    const hidden = this.#hidden.get(directory) ?? new Map<string, RemovedName>();
    const removed = { directory, name, deadlineMs: performance.now() + REPLACEMENT_DEADLINE_MS };
    this.#hidden.set(directory, hidden.set(name, removed));
    this.#queue.add(removed);
    this.#timer ??= this.#expireIn(REPLACEMENT_DEADLINE_MS);
    const inode = directory.children.get(name) as FileInode;
    const count = (this.#counts.get(inode) ?? 0) + 1;
    this.#counts.set(inode, count);
    this.#changed(directory);
    return count >= inode.nlink;
  }

  /** Makes the name visible again. */
  show(directory: DirectoryInode, name: string): void {
    const hidden = this.#hidden.get(directory);
    const removed = hidden?.get(name);
    if (hidden === undefined || removed === undefined) return;
    this.#queue.delete(removed);
    hidden.delete(name);
    const inode = directory.children.get(name) as FileInode;
    const count = (this.#counts.get(inode) ?? 0) - 1;
    if (count > 0) this.#counts.set(inode, count);
    else this.#counts.delete(inode);
    if (hidden.size === 0) this.#hidden.delete(directory);
    this.#changed(directory);
  }

  /** Makes every name of a folder visible again. Returns how many were hidden. */
  showAll(directory: DirectoryInode): number {
    const names = [...(this.#hidden.get(directory)?.keys() ?? [])];
    for (const name of names) this.show(directory, name);
    return names.length;
  }

  /** Another tree is shown: the names of the old tree cannot be reached any more. */
  clear(): void {
    this.#hidden.clear();
    this.#counts.clear();
    this.#queue.clear();
  }

  #hides(directory: DirectoryInode, name: string): boolean {
    return this.#hidden.size > 0 && this.#hidden.get(directory)?.has(name) === true;
  }

  #expireIn(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#expire(), delayMs).unref();
  }

  #expire(): void {
    const nowMs = performance.now();
    const late: RemovedName[] = [];
    let nextMs: number | undefined;
    for (const removed of this.#queue) {
      if (removed.deadlineMs > nowMs) {
        nextMs = removed.deadlineMs;
        break;
      }
      late.push(removed);
    }
    for (const { directory, name } of late) this.show(directory, name);
    this.#timer = nextMs === undefined ? undefined : this.#expireIn(nextMs - nowMs);
    if (late.length > 0) this.#expired(late);
  }
}
