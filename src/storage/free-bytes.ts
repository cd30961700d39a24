import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Bytes that the caller may still write where `path` is, or would be: on the file system of the first folder above it that is there. */
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
