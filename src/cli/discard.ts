import type { Command } from 'commander';
import { absolutePath } from './absolute-path.ts';
import { notice } from './notice.ts';
import { printJson, printLine } from './output.ts';
import { exactBytes, plural } from './printable.ts';

interface DiscardFlags {
  readonly state?: string;
  readonly json?: boolean;
}

/** `mlfs discard TARGET`: drops the edits; the checkpoint file stays as it is. */
export function registerDiscard(program: Command): void {
  program
    .command('discard')
    .description('drop every edit that was not committed; gradients stay')
    .argument('<target>', 'a mount point, or a checkpoint file, mounted or not')
    .option('--state <dir>', 'the state directory, if the checkpoint was mounted with --state', absolutePath)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs discard /mnt/m')
    .action(discard);
}

async function discard(target: string, flags: DiscardFlags): Promise<void> {
  const { findEditTarget } = await import('../targets/find-edit-target.ts');
  const edits = await findEditTarget(target, {
    onNotice: notice,
    stateDirectory: flags.state,
  });
  const report = await edits.discard();
  const dropped =
    report.bytes === 0
      ? 'nothing to discard'
      : `dropped ${exactBytes(report.bytes)} in ${plural(report.ranges, 'range')}`;
  if (flags.json) printJson(report);
  else printLine(`${target}: ${dropped}`);
}
