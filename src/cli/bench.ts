import { constants } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type {
  MeasuredSide,
  MountReport,
  ThroughputReport,
  ThroughputRow,
} from '../throughput/throughput-report.ts';
import { visible } from '../visible-text.ts';
import { printJson, printText } from './output.ts';
import { plural } from './printable.ts';

interface BenchOptions {
  readonly json?: boolean;
  readonly seconds: number;
  readonly transport: string;
}

/** `mlfs bench CHECKPOINT`: how fast this file reads from this disk, natively and through mounts of both kinds. */
export function registerBench(program: Command): void {
  program
    .command('bench')
    .description(
      'measure how fast a checkpoint reads, cold and cached: natively, through a read-only mount and through a writable one',
    )
    .argument('<checkpoint>', 'the file to read; it is not changed')
    .option('--json', 'print the figures as JSON')
    .option('--seconds <n>', 'maximum seconds for each measurement', positive, 3)
    .addOption(
      new Option('--transport <name>', 'how to reach the kernel')
        .choices(['auto', 'kernel', 'fuse-native'])
        .default('auto'),
    )
    .addHelpText(
      'after',
      `
"ratio" is the speed of a mount divided by that of a program that reads the checkpoint file itself. The first lines say who serves each mount: the
kernel view (the kernel reads tensors by itself, read-only mounts only), the data plane (native code of MLFS) or fuse-native.

Example:
  mlfs bench model.pt`,
    )
    .action(runBench);
}

async function runBench(checkpoint: string, options: BenchOptions): Promise<void> {
  const { SingleBar } = await import('./single-bar.ts');
  const { measureThroughput } = await import('../throughput/throughput.ts');
  const interrupted = new AbortController();
  const stop = (signal: NodeJS.Signals) => interrupted.abort(signal);
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const bar = new SingleBar({
    format: '{bar} {value}/{total} {what}',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    noTTYOutput: false,
  });
  bar.start(1, 0, { what: 'mounting' });
  try {
    const report = await measureThroughput(checkpoint, {
      seconds: options.seconds,
      transport: options.transport,
      signal: interrupted.signal,
      onProgress: ({ done, of, what }) => {
        bar.setTotal(of);
        bar.update(done, { what: visible(what) });
      },
    });
    bar.stop();
    if (options.json) printJson(report, 2);
    else printText(asText(report));
  } catch (cause) {
    if (!interrupted.signal.aborted) throw cause;
    // The exit code that a shell reports: 128 plus the number of the signal.
    process.exitCode = 128 + constants.signals[interrupted.signal.reason as NodeJS.Signals];
  } finally {
    bar.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function asText(report: ThroughputReport): string {
  const measured = report.mounts.filter((mount) => mount.servedBy !== undefined).map(({ mode }) => mode);
  const head = ['', 'native', ...measured.flatMap((mode) => [mode, 'ratio']), 'read from disk'];
  const lines = [head, ...report.rows.map((row) => asCells(row, measured.length))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const table = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  const mebibytes = (report.bytes / 2 ** 20).toFixed(1);
  const title = `${visible(report.checkpoint)}: ${plural(report.tensors, 'tensor')}, ${mebibytes} MiB`;
  const reasons = report.rows.flatMap((row) =>
    row.reason ? [visible(`${row.what}: not measured, ${row.reason}`)] : [],
  );
  const all = [title, ...report.mounts.map(whoServes), '', ...table];
  return `${[...all, ...(reasons.length > 0 ? ['', ...reasons] : [])].join('\n')}\n`;
}

function whoServes({ mode, servedBy, reason }: MountReport): string {
  if (servedBy === undefined) return visible(`${mode} mount: not measured, ${reason}`);
  const { server, noKernelView } = servedBy;
  const note = noKernelView === undefined ? '' : ` (no kernel view: ${noKernelView})`;
  return visible(`${mode} mount: served by ${server === 'fuse-native' ? '' : 'the '}${server}${note}`);
}

function asCells(row: ThroughputRow, mounts: number): string[] {
  if (!row.measured) return [row.what, ...Array.from({ length: 2 + 2 * mounts }, () => '–')];
  const { native, mounts: measured } = row.measured;
  const sides = [native, ...measured];
  return [
    row.what,
    withUnit(native.rate, row.unit),
    ...measured.flatMap(({ rate, ratio }) => [withUnit(rate, row.unit), ratio.toFixed(2)]),
    row.what.endsWith('cold') ? sides.map(diskShare).join(' / ') : '',
  ];
}

/** Bytes fetched from the disk for each byte that was read. */
function diskShare(side: MeasuredSide): string {
  return side.diskBytes === undefined ? '?' : `${((side.diskBytes / side.bytes) * 100).toFixed(0)} %`;
}

function withUnit(rate: number, unit: ThroughputRow['unit']): string {
  return unit === 'GB/s' ? `${rate.toFixed(2)} GB/s` : `${Math.round(rate).toLocaleString('en-US')}/s`;
}

function positive(value: string): number {
  const number = Number(value);
  if (!Number.isFinite(number) || number <= 0)
    throw new InvalidArgumentError('It must be a positive number.');
  return number;
}
