/**
 * A file that appears under its name when it is complete, in a folder that others may write to. It is written under a random name, through
 * the descriptor that O_EXCL made, with mode 0600 until the end. The folder is held open, and names are looked up in it. Others who can
 * write to the folder can remove the file, but cannot make us write to another one.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { MlfsError } from '../errors.ts';
import { DiskFile, diskError } from './disk-file.ts';

const open = promisify(fs.open);
const close = promisify(fs.close);
const chmodDescriptor = promisify(fs.fchmod);
const syncDescriptor = promisify(fs.fsync);
const link = promisify(fs.link);
const rename = promisify(fs.rename);
const unlink = promisify(fs.unlink);
const readlink = promisify(fs.readlink);
type StatOf<T> = (of: T, options: { bigint: true }) => Promise<fs.BigIntStats>;
const statOfDescriptor = promisify(fs.fstat) as StatOf<number>;
const statOfName = promisify(fs.lstat) as StatOf<string>;

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = fs.constants;
/** Maximum length of the kept part of the name, so that with the suffix it is still a file name. */
const KEPT_NAME_BYTES = 200;

/** What the name leads to already. */
export interface FileInTheWay {
  readonly stat: fs.BigIntStats;
  /** A path of it in the folder that is held open. */
  readonly path: string;
}

export interface NewFileOptions {
  /** Replace an existing regular file. */
  readonly overwrite: boolean;
  /** Throws for a folder, or an existing file, that must stay as it is. Called at the beginning and just before the name is given. */
  readonly refuse?: (folder: string, inTheWay: FileInTheWay | undefined) => Promise<void>;
}

export class NewFile {
  readonly path: string;
  readonly file: DiskFile;
  readonly #folder: HeldFolder;
  readonly #partialName: string;
  readonly #options: NewFileOptions;

  private constructor(
    path: string,
    file: DiskFile,
    folder: HeldFolder,
    partialName: string,
    options: NewFileOptions,
  ) {
    this.path = path;
    this.file = file;
    this.#folder = folder;
    this.#partialName = partialName;
    this.#options = options;
  }

  /** Throws EEXIST, ERR_MLFS_USAGE (the target is not a regular file), ERR_MLFS_ACCESS, and what `refuse` throws. */
  static async begin(path: string, options: NewFileOptions): Promise<NewFile> {
    const folder = await HeldFolder.open(dirname(resolve(path)));
    try {
      await refuseInTheWay(path, folder, options);
      const partialName = `${Buffer.from(basename(path)).subarray(0, KEPT_NAME_BYTES).toString()}.partial-${randomBytes(16).toString('hex')}`;
      const fd = await folder
        .call(partialName, (name) => open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600))
        .catch((cause: unknown) => {
          throw diskError(path, 'cannot be made', cause);
        });
      return new NewFile(
        path,
        new DiskFile(join(dirname(path), partialName), fd),
        folder,
        partialName,
        options,
      );
    } catch (cause) {
      await folder.close();
      throw cause;
    }
  }

  /** Throws what `begin` throws because of the target, and makes nothing. */
  static async check(path: string, options: NewFileOptions): Promise<void> {
    const folder = await HeldFolder.open(dirname(resolve(path)));
    try {
      await refuseInTheWay(path, folder, options);
    } finally {
      await folder.close();
    }
  }

  /** Gives the file its mode and its name, durably, and closes it. If that fails, the file is removed. */
  async publish(mode: number): Promise<void> {
    try {
      await this.file.sync();
      await refuseInTheWay(this.path, this.#folder, this.#options);
      await this.#refuseLost();
      await chmodDescriptor(this.file.fd, mode & 0o777);
      await this.#giveName();
      await syncDescriptor(this.#folder.fd);
    } catch (cause) {
      await this.abandon();
      throw diskError(this.path, 'cannot be put in its place', cause);
    }
    await this.file.close();
    await this.#folder.close();
  }

  /** Closes the file, and removes it if its name still leads to it. */
  async abandon(): Promise<void> {
    try {
      if (await this.#isOurs()) await this.#folder.call(this.#partialName, (name) => unlink(name));
    } catch {
      // Another process removed it, or the file system fails: the error that led here says more.
    } finally {
      await this.file.close();
      await this.#folder.close();
    }
  }

  async #giveName(): Promise<void> {
    const partial = this.#folder.at(this.#partialName);
    const target = this.#folder.at(basename(this.path));
    if (this.#options.overwrite) return rename(partial, target);
    try {
      // Unlike a rename, a link never replaces a file that was made meanwhile.
      await link(partial, target);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'EEXIST') throw isThere(this.path);
      if (code !== 'EPERM' && code !== 'EOPNOTSUPP' && code !== 'EMLINK' && code !== 'ENOSYS') throw cause;
      // A file system without hard links.
      return rename(partial, target);
    }
    await unlink(partial);
  }

  async #isOurs(): Promise<boolean> {
    const own = await statOfDescriptor(this.file.fd, { bigint: true });
    const named = await this.#folder.stat(this.#partialName);
    return named !== undefined && named.dev === own.dev && named.ino === own.ino;
  }

  async #refuseLost(): Promise<void> {
    if (await this.#isOurs()) return;
    throw new MlfsError('ERR_MLFS_IO', `${this.path}: the file was taken away while it was being written`, {
      path: this.path,
      advice: 'Another user can write to this folder. Choose one of your own.',
    });
  }
}

/** A folder held by its descriptor: its name may lead elsewhere later. */
class HeldFolder {
  readonly fd: number;
  /** Its path, for looking at the place and not for access. */
  readonly realPath: string;

  private constructor(fd: number, realPath: string) {
    this.fd = fd;
    this.realPath = realPath;
  }

  static async open(path: string): Promise<HeldFolder> {
    try {
      const fd = await open(path, O_RDONLY | O_DIRECTORY);
      return new HeldFolder(fd, await readlink(`/proc/self/fd/${fd}`));
    } catch (cause) {
      throw diskError(path, 'the folder cannot be opened', cause);
    }
  }

  /** A path of a name in it; only its last part is looked up. */
  at(name: string): string {
    return `/proc/self/fd/${this.fd}/${name}`;
  }

  call<T>(name: string, task: (path: string) => Promise<T>): Promise<T> {
    return task(this.at(name));
  }

  async stat(name: string): Promise<fs.BigIntStats | undefined> {
    try {
      return await statOfName(this.at(name), { bigint: true });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw cause;
    }
  }

  close(): Promise<void> {
    return close(this.fd);
  }
}

async function refuseInTheWay(
  path: string,
  folder: HeldFolder,
  { overwrite, refuse }: NewFileOptions,
): Promise<void> {
  const stat = await folder.stat(basename(path)).catch((cause: unknown) => {
    throw diskError(path, 'cannot be looked at', cause);
  });
  if (stat !== undefined && !stat.isFile()) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${path}: is ${kindOf(stat)}, and only a regular file is replaced`,
      {
        path,
        errno: stat.isDirectory() ? 'EISDIR' : 'EEXIST',
        advice: stat.isSymbolicLink() ? 'name the file that it leads to' : 'choose another name',
      },
    );
  }
  if (stat !== undefined && !overwrite) throw isThere(path);
  await refuse?.(folder.realPath, stat === undefined ? undefined : { stat, path: folder.at(basename(path)) });
}

function kindOf(stat: fs.BigIntStats): string {
  if (stat.isDirectory()) return 'a directory';
  if (stat.isSymbolicLink()) return 'a symbolic link';
  if (stat.isFIFO()) return 'a FIFO';
  if (stat.isSocket()) return 'a socket';
  return 'a device';
}

function isThere(path: string): MlfsError {
  return new MlfsError('ERR_MLFS_USAGE', `${path}: already exists`, {
    path,
    errno: 'EEXIST',
    advice: 'choose another name, or add --force',
  });
}
