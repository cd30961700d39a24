import type { Command } from 'commander';
import { absolutePath } from './absolute-path.ts';
import { notice } from './notice.ts';
import { printJson, printLine } from './output.ts';

interface FlushFlags {
  readonly state?: string;
  readonly json?: boolean;
}

/** `mlfs flush TARGET`: makes every edit durable. */
export function registerFlush(program: Command): void {
  program
    .command('flush')
    .description('make every edit durable, as fsync does')
    .argument('<target>', 'a mount point, or a checkpoint file, mounted or not')
    .option('--state <dir>', 'the state directory, if the checkpoint was mounted with --state', absolutePath)
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs flush /mnt/m')
    .action(flush);
}

async function flush(target: string, flags: FlushFlags): Promise<void> {
  const { findEditTarget } = await import('../targets/find-edit-target.ts');
  const edits = await findEditTarget(target, {
    onNotice: notice,
    stateDirectory: flags.state,
  });
  await edits.flush();
  if (flags.json) printJson({ flushed: true });
  else printLine(`${target}: flushed`);
}
