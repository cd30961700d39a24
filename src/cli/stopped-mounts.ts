import { readFile } from 'node:fs/promises';

/**
 * Throws ERR_MLFS_FUSE when an argument of a command is a path in an MLFS mount whose server is stopped: every call on it would wait for
 * ever.
 */
export async function refuseStoppedMounts(words: readonly unknown[]): Promise<void> {
  // Most machines usually have no MLFS mount, and then nothing else is loaded.
  if (!(await readFile('/proc/self/mountinfo', 'utf8')).includes(' fuse.mlfs ')) return;
  const [{ mountAround }, { refuseStopped }] = await Promise.all([
    import('../targets/find-mount.ts'),
    import('../targets/server-process.ts'),
  ]);
  for (const word of words.flat()) {
    const mountpoint = typeof word === 'string' ? await mountAround(word) : undefined;
    if (mountpoint !== undefined) await refuseStopped(mountpoint);
  }
}
