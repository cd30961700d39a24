import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { MlfsError } from '../errors.ts';

/** Throws ERR_MLFS_USAGE when a mount point is given to a command that takes a checkpoint file; names the file. */
export async function refuseMountpoint(command: string, word: string): Promise<void> {
  const { mountAround, pathUpTo, statusOf } = await import('../targets/find-mount.ts');
  const mountpoint = await mountAround(word);
  if (mountpoint === undefined || (await pathUpTo(resolve(word), new Set([mountpoint]))) !== mountpoint)
    return;
  const { image } = (await statusOf(mountpoint))?.status ?? {};
  if (image === undefined) return;
  const exported = await readdir(join(mountpoint, 'export')).catch(() => []);
  const whole = exported.find((name) => !name.endsWith('.safetensors')) ?? 'model.safetensors';
  throw new MlfsError(
    'ERR_MLFS_USAGE',
    `${word}: is a mount of ${image.path}, and mlfs ${command} takes a checkpoint file`,
    {
      path: word,
      advice: `mlfs ${command} ${image.path}, or with the edits of the mount: mlfs ${command} ${join(word, 'export', whole)}`,
    },
  );
}
