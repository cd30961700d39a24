import { resolve } from 'node:path';
import type { Command } from 'commander';
import { MlfsError } from '../errors.ts';
import type { CommitReport } from '../storage/edits.ts';
import { absolutePath } from './absolute-path.ts';
import { notice } from './notice.ts';
import { printJson, printLine } from './output.ts';
import { exactBytes, plural } from './printable.ts';

interface CommitFlags {
  readonly to?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly state?: string;
  readonly json?: boolean;
}

/** `mlfs commit TARGET`: writes the edits into the checkpoint file, or into a new one. */
export function registerCommit(program: Command): void {
  program
    .command('commit')
    .description('write the edits and their checksums into the checkpoint file')
    .argument('<target>', 'a mount point, or a checkpoint file, mounted or not')
    .option('--to <file>', 'write a new file with the edits instead, and keep the edits', absolutePath)
    .option('--force', 'with --to: replace an existing regular file')
    .option('--dry-run', 'only say what would be done')
    .option('--state <dir>', 'the state directory, if the checkpoint was mounted with --state', absolutePath)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  mlfs commit /mnt/m\n  mlfs commit model.pt --to tuned.pt')
    .action(commit);
}

async function commit(target: string, flags: CommitFlags): Promise<void> {
  if (flags.force && flags.to === undefined) {
    throw new MlfsError('ERR_MLFS_USAGE', '--force: there is nothing to replace without --to');
  }
  const [{ findEditTarget }, { sharedFileWarning }, { progressBar }] = await Promise.all([
    import('../targets/find-edit-target.ts'),
    import('../targets/shared-file.ts'),
    import('./progress-bar.ts'),
  ]);
  const edits = await findEditTarget(target, {
    onNotice: notice,
    stateDirectory: flags.state,
  });
  if (flags.to === undefined) {
    const checkpoint = edits.mountpoint === undefined ? resolve(target) : (await edits.status()).checkpoint;
    const shared = await sharedFileWarning(checkpoint);
    if (shared !== undefined) notice(shared);
  }
  const bar = await progressBar(flags.to === undefined ? 'committing' : 'writing');
  let report: CommitReport;
  try {
    report = await edits.commit({
      to: flags.to,
      overwrite: flags.force ?? false,
      dryRun: flags.dryRun ?? false,
      onProgress: (progress) => bar.update(progress),
    });
  } finally {
    bar.stop();
  }
  if (flags.json) printJson(report);
  else printLine(asText(target, flags, report));
}

function asText(target: string, { to, dryRun = false }: CommitFlags, report: CommitReport): string {
  const { bytes, ranges, checksums, milliseconds } = report;
  const edits = `${exactBytes(bytes)} in ${plural(ranges, 'range')}, ${plural(checksums, 'checksum')}`;
  if (to !== undefined) {
    return dryRun
      ? `${to}: would be written, with ${edits}`
      : `${to}: written with ${edits}, ${milliseconds} ms`;
  }
  if (bytes === 0) return `${target}: nothing to commit`;
  return dryRun ? `${target}: would commit ${edits}` : `${target}: committed ${edits}, ${milliseconds} ms`;
}
