import { read } from '../client.ts';
import type { Subject } from '../subject.ts';

/** Brings the whole checkpoint into the page cache. */
export async function warm(subject: Subject): Promise<void> {
  await read({ mode: 'seq', path: subject.path, offset: 0, length: subject.size });
}

/**
 * Drops the checkpoint's own pages from the page cache, and no others. Throws if some stay, because another process maps them or the file
 * system has no disk below it: then nothing cold can be measured here.
 */
export async function chill(subject: Subject): Promise<void> {
  const { resident } = await read({ mode: 'evict', path: subject.path, offset: 0, length: subject.size });
  if (resident > 0.01) {
    throw new Error(
      `${subject.path}: ${(resident * 100).toFixed(0)} % of it stays in the page cache, so a cold read cannot be measured`,
    );
  }
}
