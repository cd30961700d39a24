import { constants } from 'node:os';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { MeasuredSide, ThroughputReport, ThroughputRow } from '../throughput/throughput.ts';
import { visible } from '../visible-text.ts';
import { printJson, printText } from './output.ts';

interface BenchOptions {
  readonly json?: boolean;
  readonly seconds: number;
  readonly transport: string;
}

/** `mlfs bench CHECKPOINT`: how fast this file reads from this disk, natively and through a mount. */
export function registerBench(program: Command): void {
  program
    .command('bench')
    .description('measure how fast a checkpoint reads: natively and through a mount, cold and cached')
    .argument('<checkpoint>', 'the file to read; it is not changed')
    .option('--json', 'print the figures as JSON')
    .option('--seconds <n>', 'maximum seconds for each measurement', positive, 3)
    .addOption(
      new Option('--transport <name>', 'how to reach the kernel')
        .choices(['auto', 'kernel', 'fuse-native'])
        .default('auto'),
    )
    .addHelpText('after', '\nExample:\n  mlfs bench model.pt')
    .action(runBench);
}

async function runBench(checkpoint: string, options: BenchOptions): Promise<void> {
  const { SingleBar } = await import('cli-progress');
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
  const lines = [['', 'native', 'mount', 'ratio', 'read from disk'], ...report.rows.map(asCells)];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const table = lines.map((line) =>
    line
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
  const mebibytes = (report.bytes / 2 ** 20).toFixed(1);
  const head = `${visible(report.checkpoint)}: ${report.tensors} tensors, ${mebibytes} MiB, transport ${report.transport}`;
  const reasons = report.rows.flatMap((row) =>
    row.reason ? [visible(`${row.what}: not measured, ${row.reason}`)] : [],
  );
  return `${[head, '', ...table, ...(reasons.length > 0 ? ['', ...reasons] : [])].join('\n')}\n`;
}

function asCells(row: ThroughputRow): string[] {
  if (!row.measured) return [row.what, '–', '–', '–', '–'];
  const { native, mount, ratio } = row.measured;
  const cold = row.what.endsWith('cold');
  return [
    row.what,
    withUnit(native.rate, row.unit),
    withUnit(mount.rate, row.unit),
    ratio.toFixed(2),
    cold ? `${diskShare(native)} / ${diskShare(mount)}` : '',
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
