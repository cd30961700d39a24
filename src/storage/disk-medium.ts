/**
 * The medium for a real file system: node:fs with callbacks, which cost much less than FileHandle's promises. A short write is continued
 * until everything is written. A file is closed when no call on it is running. Paths are resolved as usual; what lies in a state directory
 * is reached through `ownFolder` (own-folder.ts) instead.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { codeOf, DiskFile, diskError } from './disk-file.ts';
import { makeFolders, syncFolder } from './disk-folders.ts';
import type { Medium } from './medium.ts';
import { OwnFolder } from './own-folder.ts';

const open = promisify(fs.open);
const readdir = promisify(fs.readdir);
const rename = promisify(fs.rename);
const unlink = promisify(fs.unlink);
const removeDirectory = promisify(fs.rmdir);

const { O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR } = fs.constants;
/** O_NONBLOCK: an open must not wait for a pipe that another user put there. */
const FLAGS = {
  read: O_RDONLY | O_NONBLOCK,
  write: O_RDWR | O_NONBLOCK,
  create: O_RDWR | O_CREAT | O_EXCL,
} as const;

export const diskMedium: Medium = {
  async open(path, how) {
    try {
      return new DiskFile(path, await open(path, FLAGS[how], 0o600));
    } catch (cause) {
      throw diskError(path, 'cannot be opened', cause);
    }
  },

  async list(directory) {
    try {
      return (await readdir(directory)).sort();
    } catch (cause) {
      if (codeOf(cause) === 'ENOENT') return [];
      throw diskError(directory, 'cannot be listed', cause);
    }
  },

  makeDirectory: makeFolders,

  async rename(from, to) {
    try {
      await rename(from, to);
    } catch (cause) {
      throw diskError(from, `cannot be renamed to ${to}`, cause);
    }
  },

  async remove(path) {
    try {
      await unlink(path).catch((cause: unknown) => {
        if (codeOf(cause) !== 'EISDIR') throw cause;
        return removeDirectory(path);
      });
    } catch (cause) {
      throw diskError(path, 'cannot be removed', cause);
    }
  },

  syncDirectory: syncFolder,

  ownFolder: (path, options) => new OwnFolder(path, options),
};
