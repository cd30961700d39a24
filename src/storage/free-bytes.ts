import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Bytes that the caller may still write at `path`, which need not exist: on the file system of its nearest existing folder. */
export async function freeBytesAt(path: string): Promise<number> {
  for (let place = path; ; place = dirname(place)) {
    try {
      const { bsize, bavail } = await statfs(place);
      return bsize * bavail;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT' || place === dirname(place)) throw cause;
    }
  }
}
