import { readFile, realpath } from 'node:fs/promises';
import { run } from './run.ts';

/** The mount points below a folder, innermost first, from /proc/self/mountinfo. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const root = `${await realpath(folder)}/`;
  const table = await readFile('/proc/self/mountinfo', 'latin1');
  return table
    .split('\n')
    .map((line) => unescapeOctal(line.split(' ')[4] ?? ''))
    .filter((mountpoint) => mountpoint.startsWith(root))
    .reverse();
}

/** Unmounts lazily everything that is mounted below a folder, and returns the mount points. */
export async function releaseMountsBelow(folder: string): Promise<string[]> {
  const mountpoints = await mountsBelow(folder);
  for (const mountpoint of mountpoints) {
    const isRoot = process.getuid?.() === 0;
    await (isRoot ? run('umount', ['-l', mountpoint]) : run('fusermount3', ['-uz', mountpoint]));
  }
  return mountpoints;
}

/** mountinfo writes a space as \040. */
function unescapeOctal(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(bytes, 'latin1').toString();
}
