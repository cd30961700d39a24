import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { MlfsError } from '../errors.ts';
import { ENDING_SIGNALS } from './ending-signals.ts';
import { notice } from './notice.ts';

interface ServeFlags {
  readonly worker: string;
  readonly quiet?: boolean;
}

/** `mlfs serve MOUNT --worker COMMAND`: answers the calls of /rpc. */
export function registerServe(program: Command): void {
  program
    .command('serve')
    .description('answer the calls in /rpc of a mount with a worker program, until Ctrl-C')
    .argument('<mount>', 'a mount point')
    .requiredOption(
      '--worker <command>',
      'program that reads one line of JSON for each call from stdin (docs/RPC.md)',
    )
    .option('-q, --quiet', 'print no line for each call')
    .addHelpText(
      'after',
      `
Example:
  mlfs serve /mnt/m --worker 'python3 examples/python/mlfs_worker.py --module mymodel:build' &
  mkdir /mnt/m/rpc/1 && cp x.npy /mnt/m/rpc/1/input.npy && cp /mnt/m/rpc/1/output.npy y.npy`,
    )
    .action(serve);
}

async function serve(mount: string, flags: ServeFlags): Promise<void> {
  const [{ mountAround, notAMount }, { serveCalls }] = await Promise.all([
    import('../targets/find-mount.ts'),
    import('../rpc/serve-calls.ts'),
  ]);
  const mountpoint = await mountAround(mount);
  if (mountpoint === undefined) throw notAMount(mount);
  await access(join(mountpoint, 'rpc/workers'), constants.W_OK).catch((cause: NodeJS.ErrnoException) => {
    const readOnly = cause.code === 'ENOENT';
    throw new MlfsError(
      readOnly ? 'ERR_MLFS_USAGE' : 'ERR_MLFS_ACCESS',
      readOnly
        ? `${mountpoint}: has no /rpc: it is mounted read-only`
        : `${mountpoint}/rpc/workers: ${cause.message}`,
      { path: mountpoint, cause },
    );
  });
  const stop = new AbortController();
  for (const signal of ENDING_SIGNALS) process.once(signal, () => stop.abort());
  notice(`${mountpoint}/rpc is served; Ctrl-C ends it`);
  await serveCalls({
    mountpoint,
    worker: flags.worker,
    signal: stop.signal,
    log: notice,
    onCall: flags.quiet
      ? undefined
      : (id, milliseconds, error) =>
          notice(`${id}: ${error === undefined ? 'answered' : `failed: ${error}`}, ${milliseconds} ms`),
  });
  if (!stop.signal.aborted) notice(`${mountpoint}: is not mounted any more`);
}
