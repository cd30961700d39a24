import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';

/**
 * Everything below a folder, itself included: kind, mode, owner, size, times, and the bytes of files. Two snapshots are equal if nothing was
 * changed, made or removed in between. Pipes are not opened, and links are not followed.
 */
export async function treeSnapshot(root: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const visit = async (path: string) => {
    const stat = await lstat(path, { bigint: true });
    const content = stat.isFile()
      ? (await readFile(path)).toString('base64')
      : stat.isSymbolicLink()
        ? await readlink(path)
        : '';
    const { mode, uid, gid, size, mtimeNs, ino } = stat;
    found[relative(root, path) || '.'] = [mode.toString(8), uid, gid, size, mtimeNs, ino, content].join(' ');
    if (stat.isDirectory()) for (const name of await readdir(path)) await visit(join(path, name));
  };
  await visit(root);
  return found;
}
