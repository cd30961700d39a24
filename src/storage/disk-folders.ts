/** Folders of the disk by path. */
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { diskError } from './disk-file.ts';

const mkdir = promisify(fs.mkdir);
const open = promisify(fs.open);
const fsync = promisify(fs.fsync);
const close = promisify(fs.close);

/** Makes a folder and its parents, mode 0700. The parents' names are then durable; the caller makes the name of `path` itself durable. */
export async function makeFolders(path: string): Promise<void> {
  try {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let made = dirname(path); made.length >= first.length; made = dirname(made)) {
      await syncFolder(dirname(made));
    }
  } catch (cause) {
    throw diskError(path, 'cannot be made', cause);
  }
}

/** Makes the names in a folder durable. `at` leads to it; messages show `path`. */
export async function syncFolder(path: string, at = path): Promise<void> {
  try {
    const fd = await open(at, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    try {
      await fsync(fd);
    } finally {
      await close(fd);
    }
  } catch (cause) {
    throw diskError(path, 'the folder cannot be synced', cause);
  }
}
