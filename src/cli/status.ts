import type { Command } from 'commander';
import type { TargetStatus } from '../targets/status-document.ts';
import { absolutePath } from './absolute-path.ts';
import { notice } from './notice.ts';
import { printJson, printLine, printTable } from './output.ts';
import { exactBytes, grouped, plural, table } from './printable.ts';

interface StatusFlags {
  readonly state?: string;
  readonly json?: boolean;
}

/** `mlfs status TARGET`: lists the uncommitted edits. */
export function registerStatus(program: Command): void {
  program
    .command('status')
    .description('list the tensors with edits that were not committed')
    .argument('<target>', 'a mount point, or a checkpoint file, mounted or not')
    .option('--state <dir>', 'the state directory, if the checkpoint was mounted with --state', absolutePath)
    .option('--json', 'print JSON, with the dirty ranges of the file')
    .addHelpText('after', '\nExample:\n  mlfs status /mnt/m')
    .action(showStatus);
}

async function showStatus(target: string, flags: StatusFlags): Promise<void> {
  const { findEditTarget } = await import('../targets/find-edit-target.ts');
  const edits = await findEditTarget(target, {
    onNotice: flags.json ? undefined : notice,
    stateDirectory: flags.state,
  });
  const status = await edits.status();
  if (flags.json) printJson(status, 2);
  else printStatus(status);
}

function printStatus(status: TargetStatus): void {
  const facts: [string, string][] = [['checkpoint', `${status.checkpoint}, ${stateOf(status)}`]];
  if (status.mountpoint !== null) {
    facts.push(['mount', `${status.mountpoint}, ${status.mode}, process ${status.pid}`]);
  }
  if (status.metrics_url !== null) facts.push(['metrics', status.metrics_url]);
  facts.push(['edits', editsOf(status)]);
  if (status.journal !== null) facts.push(['journal', journalOf(status.journal)]);
  if (status.unfinished_commit) {
    facts.push(['commit', 'one was interrupted: mlfs commit, or a read-write mount, finishes it']);
  }
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, fact] of facts) printLine(`${name.padEnd(width)}  ${fact}`);
  const advice = adviceOnStale(status);
  if (advice !== undefined) printLine(`  try: ${advice}`);
  if (status.dirty_tensors.length > 0) printTensors(status);
}

function stateOf({ state, stale_reason, commit }: TargetStatus): string {
  if (stale_reason === 'another-user') return 'the edits were made by another user';
  if (state === 'stale') return `not the file that was opened: ${stale_reason}`;
  if (state === 'current' || commit === null) return state;
  return `committing, ${grouped(commit.done)} of ${exactBytes(commit.total)}`;
}

/** What makes a mount show the file that is there now. */
function adviceOnStale(status: TargetStatus): string | undefined {
  const { state, stale_reason, mountpoint, mode, dirty_bytes } = status;
  if (state !== 'stale' || stale_reason === 'gone' || mountpoint === null) return undefined;
  // Commands reach a mount through its /sys/control, which a read-only one does not have.
  if (mode === 'read-only') return `mlfs umount ${mountpoint}, and mount again, perhaps with --follow`;
  const reload = `mlfs reload ${mountpoint}`;
  if (dirty_bytes === 0) return reload;
  return `mlfs commit ${mountpoint} --to NEW.pt, or mlfs discard ${mountpoint}; then ${reload}`;
}

function editsOf({ dirty_bytes, dirty_ranges_total }: TargetStatus): string {
  if (dirty_bytes === 0) return 'none';
  return `${exactBytes(dirty_bytes)} in ${plural(dirty_ranges_total, 'range')}`;
}

function journalOf(journal: NonNullable<TargetStatus['journal']>): string {
  const limit = journal.limit_bytes === null ? '' : ` of at most ${exactBytes(journal.limit_bytes)}`;
  const failed = journal.failed ? '; the last write to it failed' : '';
  return `${journal.state_directory}: ${exactBytes(journal.bytes)}${limit} in ${plural(journal.segments, 'segment')}${failed}`;
}

function printTensors({ dirty_tensors, dirty_tensors_total }: TargetStatus): void {
  const rows = dirty_tensors.map(({ name, bytes, ranges }) => [name, grouped(bytes), grouped(ranges)]);
  const more = dirty_tensors_total - rows.length;
  printLine('');
  printTable(table(['tensor', 'dirty bytes', 'ranges'], rows, new Set([1, 2])));
  if (more > 0) printLine(`… and ${plural(more, 'tensor')} more`);
}
