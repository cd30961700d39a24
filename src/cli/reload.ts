import type { Command } from 'commander';
import { printJson, printLine } from './output.ts';

/** `mlfs reload DIRECTORY`: shows the checkpoint file that is there now. */
export function registerReload(program: Command): void {
  program
    .command('reload')
    .description('show the new file, after the checkpoint of a mount was replaced')
    .argument('<directory>', 'the mount point')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs reload /mnt/m')
    .action(reload);
}

async function reload(directory: string, flags: { readonly json?: boolean }): Promise<void> {
  const [{ mountAround, notAMount }, { MountClient }] = await Promise.all([
    import('../targets/find-mount.ts'),
    import('../targets/mount-client.ts'),
  ]);
  const mountpoint = await mountAround(directory);
  if (mountpoint === undefined) throw notAMount(directory);
  const answer = (await new MountClient(mountpoint).reload()) as { readonly reloaded: boolean };
  const text = answer.reloaded ? 'shows the new file' : 'this file is shown already';
  if (flags.json) printJson(answer);
  else printLine(`${directory}: ${text}`);
}
