/**
 * The medium for one folder that must be the caller's own, such as a state directory. Its parent may be writable for another user, who may
 * put links, pipes or files there, or swap them while they are used.
 *
 * Invariants: the folder is opened once, without following a link, and everything in it is reached from its descriptor, one name at a time,
 * without following links. Opened files are regular files, folders on the way are folders, and both belong to the caller or root and are
 * not writable for others (foreign.ts); nothing is read, truncated, renamed or removed before that is known. No open waits for a pipe or a
 * device.
 */
import * as fs from 'node:fs';
import { basename, dirname, relative, sep } from 'node:path';
import { MlfsError } from '../errors.ts';
import { codeOf, DiskFile, isLocal } from './disk-file.ts';
import { syncFolder } from './disk-folders.ts';
import { FilePlace, type PlacedName } from './file-place.ts';
import { O_PATH, pathIn, pathOf } from './folder-descriptor.ts';
import type { FolderMedium, MediumFile, OwnFolderOptions } from './medium.ts';
import { call, makeIn, notThere, openIn, refuse, told } from './own-names.ts';
import { OwnRoot } from './own-root.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;
const FLAGS = {
  read: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  write: O_RDWR | O_NOFOLLOW | O_NONBLOCK,
  create: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
} as const;
/** All paths that it is given are the folder or below it; `syncDirectory` and `remove` also take the parent folder. */
export class OwnFolder implements FolderMedium {
  readonly path: string;
  readonly #root: OwnRoot;
  #local: boolean | undefined;

  /** Opens nothing yet. With `ownParent` the parent folder must be the caller's own, too, and is made and removed with it. */
  constructor(path: string, { ownParent = false }: OwnFolderOptions = {}) {
    this.path = path;
    this.#root = new OwnRoot(path, ownParent);
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<MediumFile> {
    return this.#in(path, 'cannot be opened', async (folder, name, folders) => {
      // Merely opening a device can have an effect, so it is not opened.
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
    await this.#root.using(() => this.#make(path));
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#in(from, `cannot be renamed to ${to}`, (source, name) =>
      this.#in(to, 'cannot be made', (target, newName) =>
        call.rename(pathIn(source, name), pathIn(target, newName)),
      ),
    );
  }

  async remove(path: string): Promise<void> {
    if (path === this.path) return this.#root.using(() => this.#root.remove());
    if (path === this.#root.parent) return told(path, 'cannot be removed', call.rmdir(path));
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

  close(): Promise<void> {
    return this.#root.close();
  }

  async #make(path: string): Promise<void> {
    const parts = this.#partsOf(path);
    const opened: number[] = [];
    let folder = await this.#root.make();
    try {
      for (const [index, name] of parts.entries()) {
        const made = `${this.path}/${parts.slice(0, index + 1).join('/')}`;
        const isNew = await told(made, 'cannot be made', makeIn(folder, name));
        // The caller makes the name of the last one durable.
        if (isNew && index + 1 < parts.length) await syncFolder(dirname(made), `${pathOf(folder)}/.`);
        folder = await openIn(folder, name, made);
        opened.push(folder);
      }
    } finally {
      for (const fd of opened) await call.close(fd);
    }
  }

  /** The folders that lead to a file: the parent, if it must be the caller's own, this folder, and the opened ones below it. */
  async #namesOf(folders: readonly OpenFolder[]): Promise<PlacedName[]> {
    const names: PlacedName[] = [];
    if (this.#root.parent !== undefined) {
      const parent = await told(this.#root.parent, 'cannot be opened', call.lstat(this.#root.parent));
      refuse(this.#root.parent, parent, 'directory');
      names.push(placed(this.#root.parent, parent));
    }
    for (const { path, fd } of folders) names.push(placed(path, await call.fstat(fd)));
    return names;
  }

  /** Runs with the descriptor of a folder: this one, or one below it. */
  #inside<T>(directory: string, what: string, use: UseOfFolder<T>): Promise<T> {
    return this.#root.using(() => this.#walk(directory, what, use));
  }

  async #walk<T>(directory: string, what: string, use: UseOfFolder<T>): Promise<T> {
    const own = await this.#root.opened();
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

  /** Runs with a name and the descriptor of its folder. */
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

/** Runs with the folder's descriptor, and those of the folders that led to it, itself included. */
type UseOfFolder<T> = (fd: number, folders: readonly OpenFolder[]) => Promise<T>;

function placed(path: string, { dev, ino }: fs.Stats): PlacedName {
  return { path, dev, ino };
}
