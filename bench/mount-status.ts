/** What a mount of MLFS says about itself in /sys. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { StatusDocument } from '../src/targets/status-document.ts';

/** `documents` is the folder /sys of the mount. */
export async function statusOf(documents: string): Promise<StatusDocument> {
  return JSON.parse(await readFile(path.join(documents, 'status.json'), 'utf8')) as StatusDocument;
}

/** READ messages for files of /model that the server has answered, in native code or not. */
export async function modelReads(documents: string): Promise<number> {
  const metrics = await readFile(path.join(documents, 'metrics'), 'utf8');
  const counts = metrics.matchAll(/^mlfs_read_duration_seconds_count\{[^}]*room="model"[^}]*\} (\d+)$/gm);
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
