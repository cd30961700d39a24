/**
 * The medium below one folder that must be the caller's own, as a state directory must: it may lie in a folder that another user can write
 * to, who may put links, pipes or files of his there, or swap what is there while it is used.
 *
 * Invariants: the folder is opened once, without following a link, and everything in it is reached from its descriptor, one name at a time,
 * without following links. What is opened is a regular file, what is passed through is a folder, and both are the caller's or root's and not
 * writable for anybody else (foreign.ts); nothing is read, cut, renamed or removed before that is known. No open waits for a pipe or a device.
 */
import * as fs from 'node:fs';
import { basename, dirname, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { codeOf, DiskFile, diskError, isLocal } from './disk-file.ts';
import { makeFolders, syncFolder } from './disk-folders.ts';
import { FilePlace, type PlacedName } from './file-place.ts';
import { O_PATH, pathIn, pathOf } from './folder-descriptor.ts';
import { foreignError, foreignReason } from './foreign.ts';
import type { FolderMedium, MediumFile, OwnFolderOptions } from './medium.ts';

const call = {
  open: promisify(fs.open),
  close: promisify(fs.close),
  fstat: promisify(fs.fstat),
  lstat: promisify(fs.lstat),
  mkdir: promisify(fs.mkdir),
  readdir: promisify(fs.readdir),
  rename: promisify(fs.rename),
  rmdir: promisify(fs.rmdir),
  unlink: promisify(fs.unlink),
};

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;
const FOLDER = O_PATH | O_DIRECTORY | O_NOFOLLOW;
const FLAGS = {
  read: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  write: O_RDWR | O_NOFOLLOW | O_NONBLOCK,
  create: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
} as const;
const MODE = 0o700;
/** Of a parent that another process takes away as often as it is made. */
const MAKING_TRIES = 10;

/** All paths it is given are that of the folder, or below it; `syncDirectory` and `remove` take that of the folder above, too. */
export class OwnFolder implements FolderMedium {
  readonly path: string;
  readonly #parent: string | undefined;
  #fd: number | undefined;
  #local: boolean | undefined;
  /** Calls under way use the bare descriptor, which must not be closed, and given to another file, under them. */
  #pending = 0;
  #retired: number[] = [];

  /** Opens nothing yet. With `ownParent` the folder above must be the caller's own, too, and is made and removed with it. */
  constructor(path: string, { ownParent = false }: OwnFolderOptions = {}) {
    this.path = path;
    this.#parent = ownParent ? dirname(path) : undefined;
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<MediumFile> {
    return this.#in(path, 'cannot be opened', async (folder, name, folders) => {
      // What opening alone would do to a device is not tried.
      if (how !== 'create') refuse(path, await call.lstat(pathIn(folder, name)), 'file');
      const fd = await call.open(pathIn(folder, name), FLAGS[how], 0o600);
      try {
        const stat = await call.fstat(fd);
        refuse(path, stat, 'file');
        this.#local ??= await isLocal(pathOf(folder));
        const names = [...(await this.#namesOf(folders)), placed(path, stat)];
        return new DiskFile(path, fd, new FilePlace(names, this.#local));
      } catch (cause) {
        await call.close(fd);
        throw cause;
      }
    });
  }

  async list(directory: string): Promise<string[]> {
    try {
      return await this.#inside(directory, 'cannot be listed', async (fd) =>
        (await call.readdir(pathOf(fd))).sort(),
      );
    } catch (cause) {
      if (cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND') return [];
      throw cause;
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#using(() => this.#make(path));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#in(from, `cannot be renamed to ${to}`, (source, name) =>
      this.#in(to, 'cannot be made', (target, newName) =>
        call.rename(pathIn(source, name), pathIn(target, newName)),
      ),
    );
  }

  async remove(path: string): Promise<void> {
    if (path === this.path) return this.#using(() => this.#removeItself());
    if (path === this.#parent) return told(path, 'cannot be removed', call.rmdir(path));
    await this.#in(path, 'cannot be removed', async (folder, name) => {
      await call.unlink(pathIn(folder, name)).catch((cause: unknown) => {
        if (codeOf(cause) !== 'EISDIR') throw cause;
        return call.rmdir(pathIn(folder, name));
      });
    });
  }

  async syncDirectory(path: string): Promise<void> {
    if (path === dirname(this.path)) return syncFolder(path);
    await this.#inside(path, 'the folder cannot be synced', (fd) => syncFolder(path, `${pathOf(fd)}/.`));
  }

  async openDirectory(path: string): Promise<number> {
    return this.#inside(path, 'cannot be opened', (fd) => call.open(`${pathOf(fd)}/.`, O_PATH | O_DIRECTORY));
  }

  async close(): Promise<void> {
    if (this.#fd !== undefined) this.#retired.push(this.#fd);
    this.#fd = undefined;
    if (this.#pending === 0) await this.#closeRetired();
  }

  async #closeRetired(): Promise<void> {
    for (const fd of this.#retired.splice(0)) await call.close(fd);
  }

  async #using<T>(task: () => Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await task();
    } finally {
      if (--this.#pending === 0) await this.#closeRetired();
    }
  }

  async #make(path: string): Promise<void> {
    const parts = this.#partsOf(path);
    const opened: number[] = [];
    let folder = await this.#makeItself();
    try {
      for (const [index, name] of parts.entries()) {
        const made = `${this.path}/${parts.slice(0, index + 1).join('/')}`;
        const isNew = await told(made, 'cannot be made', makeIn(folder, name));
        // The name of the last one is for the caller to make durable.
        if (isNew && index + 1 < parts.length) await syncFolder(dirname(made), `${pathOf(folder)}/.`);
        folder = await openIn(folder, name, made);
        opened.push(folder);
      }
    } finally {
      for (const fd of opened) await call.close(fd);
    }
  }

  async #makeItself(): Promise<number> {
    for (let tries = 1; ; tries++) {
      const known = await this.#opened();
      if (known !== undefined) return known;
      try {
        return await this.#keep(await this.#makeIn(await this.#madeParent()));
      } catch (cause) {
        // Another process found the parent empty and took it away.
        const gone = cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND';
        if (!gone || this.#parent === undefined || tries === MAKING_TRIES) throw cause;
      }
    }
  }

  /** A descriptor of the folder above. */
  async #madeParent(): Promise<number> {
    const above = dirname(this.path);
    if (this.#parent === undefined) {
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

  /** Makes it in the folder above, whose descriptor is closed. */
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

  async #removeItself(): Promise<void> {
    const what = 'cannot be removed';
    const fd = await this.#opened();
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

  /** The descriptor of the folder; undefined while it is not there. Throws ERR_MLFS_ACCESS when it is somebody else's. */
  async #opened(): Promise<number | undefined> {
    if (this.#fd !== undefined) return this.#fd;
    const fd = await this.#find();
    return fd === undefined ? undefined : this.#keep(fd);
  }

  /** The descriptor that stays: that of whoever asked first, when two asked at the same time. */
  async #keep(fd: number): Promise<number> {
    if (this.#fd === undefined) this.#fd = fd;
    else await call.close(fd);
    return this.#fd;
  }

  async #find(): Promise<number | undefined> {
    if (this.#parent === undefined) return openFolder(this.path, this.path);
    const parent = await openFolder(this.#parent, this.#parent);
    if (parent === undefined) return undefined;
    try {
      return await openFolder(pathIn(parent, basename(this.path)), this.path);
    } finally {
      await call.close(parent);
    }
  }

  /** The folders that lead to a file: the one above that must be the caller's own, this one, and those below it that were opened. */
  async #namesOf(folders: readonly OpenFolder[]): Promise<PlacedName[]> {
    const names: PlacedName[] = [];
    if (this.#parent !== undefined) {
      const parent = await told(this.#parent, 'cannot be opened', call.lstat(this.#parent));
      refuse(this.#parent, parent, 'directory');
      names.push(placed(this.#parent, parent));
    }
    for (const { path, fd } of folders) names.push(placed(path, await call.fstat(fd)));
    return names;
  }

  /** With the descriptor of a folder: this one, or one below it. */
  #inside<T>(directory: string, what: string, use: UseOfFolder<T>): Promise<T> {
    return this.#using(() => this.#walk(directory, what, use));
  }

  async #walk<T>(directory: string, what: string, use: UseOfFolder<T>): Promise<T> {
    const own = await this.#opened();
    if (own === undefined) throw notThere(directory, what);
    let folder: OpenFolder = { path: this.path, fd: own };
    const folders = [folder];
    try {
      for (const name of this.#partsOf(directory)) {
        const path = `${folder.path}/${name}`;
        folder = { path, fd: await openIn(folder.fd, name, path) };
        folders.push(folder);
      }
      return await told(directory, what, use(folder.fd, folders));
    } finally {
      // The first one stays open.
      for (const { fd } of folders.slice(1)) await call.close(fd);
    }
  }

  /** With a name and the descriptor of the folder that has it. */
  #in<T>(
    path: string,
    what: string,
    use: (folder: number, name: string, folders: readonly OpenFolder[]) => Promise<T>,
  ): Promise<T> {
    return this.#inside(dirname(path), what, (folder, folders) =>
      told(path, what, use(folder, basename(path), folders)),
    );
  }

  #partsOf(path: string): string[] {
    if (path === this.path) return [];
    const parts = relative(this.path, path).split(sep);
    if (path.startsWith(this.path + sep) && !parts.includes('..')) return parts;
    throw new MlfsError('ERR_MLFS_INTERNAL', `${path}: does not lie in ${this.path}`, { path });
  }
}

interface OpenFolder {
  readonly path: string;
  readonly fd: number;
}

/** With the folder's descriptor, and those of the folders that led to it, itself included. */
type UseOfFolder<T> = (fd: number, folders: readonly OpenFolder[]) => Promise<T>;

function placed(path: string, { dev, ino }: fs.Stats): PlacedName {
  return { path, dev, ino };
}

function refuse(path: string, stat: fs.Stats, wanted: 'file' | 'directory'): void {
  const reason = foreignReason(stat, wanted);
  if (reason !== undefined) throw foreignError(path, reason);
}

/** Whether it was not there before. */
async function makeIn(folder: number, name: string): Promise<boolean> {
  try {
    await call.mkdir(pathIn(folder, name), { mode: MODE });
    return true;
  } catch (cause) {
    if (codeOf(cause) === 'EEXIST') return false;
    throw cause;
  }
}

async function openIn(folder: number, name: string, path: string): Promise<number> {
  const fd = await openFolder(pathIn(folder, name), path);
  if (fd === undefined) throw notThere(path, 'cannot be opened');
  return fd;
}

/** `at` leads to it, `path` is what messages call it. Undefined when it is not there. Throws ERR_MLFS_ACCESS when it is somebody else's. */
async function openFolder(at: string, path: string): Promise<number | undefined> {
  let fd: number;
  try {
    fd = await call.open(at, FOLDER);
  } catch (cause) {
    const found = await call.lstat(at).catch(() => undefined);
    if (found !== undefined) refuse(path, found, 'directory');
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return undefined;
    throw diskError(path, 'cannot be opened', cause);
  }
  try {
    refuse(path, await call.fstat(fd), 'directory');
    return fd;
  } catch (cause) {
    await call.close(fd);
    throw cause;
  }
}

function notThere(path: string, what: string): MlfsError {
  return new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: ${what}: no such file`, { path });
}

async function told<T>(path: string, what: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (cause) {
    // It became a link, or a socket, since it was looked at.
    if (codeOf(cause) === 'ELOOP') throw foreignError(path, 'is a symbolic link, which is not followed');
    if (codeOf(cause) === 'ENXIO') throw foreignError(path, 'is not a regular file');
    throw diskError(path, what, cause);
  }
}
