/**
 * A folder that must be the caller's own, by its descriptor: found or made once, and kept until `close`. If its parent must be the caller's
 * own, too, the parent is found, made and removed with it.
 */
import { constants } from 'node:fs';
import { basename, dirname } from 'node:path';
import { MlfsError } from '../errors.ts';
import { makeFolders, syncFolder } from './disk-folders.ts';
import { O_PATH, pathIn, pathOf } from './folder-descriptor.ts';
import { call, makeIn, openFolder, openIn, told } from './own-names.ts';

const { O_DIRECTORY } = constants;

/** Attempts to make a parent that another process keeps removing. */
const MAKING_TRIES = 10;

export class OwnRoot {
  readonly path: string;
  /** The parent folder, where it must be the caller's own. */
  readonly parent: string | undefined;
  #fd: number | undefined;
  /** Running calls use the bare descriptor. It must not be closed, and reused for another file, while they run. */
  #pending = 0;
  #retired: number[] = [];

  constructor(path: string, ownParent: boolean) {
    this.path = path;
    this.parent = ownParent ? dirname(path) : undefined;
  }

  /** The next use opens the folder again. */
  async close(): Promise<void> {
    if (this.#fd !== undefined) this.#retired.push(this.#fd);
    this.#fd = undefined;
    if (this.#pending === 0) await this.#closeRetired();
  }

  async #closeRetired(): Promise<void> {
    for (const fd of this.#retired.splice(0)) await call.close(fd);
  }

  /** Keeps the descriptor open while `task` runs, even if the folder is closed meanwhile. */
  async using<T>(task: () => Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await task();
    } finally {
      if (--this.#pending === 0) await this.#closeRetired();
    }
  }

  /** The descriptor of the folder, which is made if necessary. */
  async make(): Promise<number> {
    for (let tries = 1; ; tries++) {
      const known = await this.opened();
      if (known !== undefined) return known;
      try {
        return await this.#keep(await this.#makeIn(await this.#madeParent()));
      } catch (cause) {
        // Another process found the parent empty and removed it.
        const gone = cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND';
        if (!gone || this.parent === undefined || tries === MAKING_TRIES) throw cause;
      }
    }
  }

  /** A descriptor of the parent folder. */
  async #madeParent(): Promise<number> {
    const above = dirname(this.path);
    if (this.parent === undefined) {
      await makeFolders(above);
      return told(this.path, 'cannot be made', call.open(above, O_PATH | O_DIRECTORY));
    }
    await makeFolders(dirname(above));
    const folder = await told(above, 'cannot be made', call.open(dirname(above), O_PATH | O_DIRECTORY));
    try {
      const isNew = await told(above, 'cannot be made', makeIn(folder, basename(above)));
      if (isNew) await syncFolder(dirname(above), `${pathOf(folder)}/.`);
      return await openIn(folder, basename(above), above);
    } finally {
      await call.close(folder);
    }
  }

  /** Makes it in the parent folder, whose descriptor is closed. */
  async #makeIn(parent: number): Promise<number> {
    try {
      const name = basename(this.path);
      const isNew = await told(this.path, 'cannot be made', makeIn(parent, name));
      try {
        return await openIn(parent, name, this.path);
      } catch (cause) {
        // On some file systems everything belongs to one user, or everybody may write to everything.
        if (isNew) await call.rmdir(pathIn(parent, name)).catch(() => undefined);
        throw cause;
      }
    } finally {
      await call.close(parent);
    }
  }

  /** Throws ERR_MLFS_NOT_FOUND when the name leads to another folder. */
  async remove(): Promise<void> {
    const what = 'cannot be removed';
    const fd = await this.opened();
    const parent = await told(this.path, what, call.open(dirname(this.path), O_PATH | O_DIRECTORY));
    try {
      const path = pathIn(parent, basename(this.path));
      const [named, own] = await told(
        this.path,
        what,
        Promise.all([call.lstat(path), fd === undefined ? undefined : call.fstat(fd)]),
      );
      if (own !== undefined && (named.ino !== own.ino || named.dev !== own.dev)) {
        throw new MlfsError('ERR_MLFS_NOT_FOUND', `${this.path}: ${what}: another folder has its name`, {
          path: this.path,
        });
      }
      await told(this.path, what, call.rmdir(path));
    } finally {
      await call.close(parent);
    }
    await this.close();
  }

  /** The descriptor of the folder; undefined while it does not exist. Throws ERR_MLFS_ACCESS when it is not the caller's own. */
  async opened(): Promise<number | undefined> {
    if (this.#fd !== undefined) return this.#fd;
    const fd = await this.#find();
    return fd === undefined ? undefined : this.#keep(fd);
  }

  /** The descriptor to keep: the first caller's, when two asked at the same time. */
  async #keep(fd: number): Promise<number> {
    if (this.#fd === undefined) this.#fd = fd;
    else await call.close(fd);
    return this.#fd;
  }

  async #find(): Promise<number | undefined> {
    if (this.parent === undefined) return openFolder(this.path, this.path);
    const parent = await openFolder(this.parent, this.parent);
    if (parent === undefined) return undefined;
    try {
      return await openFolder(pathIn(parent, basename(this.path)), this.path);
    } finally {
      await call.close(parent);
    }
  }
}
