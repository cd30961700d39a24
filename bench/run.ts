/**
 * npm run bench: drivers (who) × workloads (what), interleaved in one run, with medians and the ratios that MLFS promises. Rounds go A B C, A
 * B C; the first one warms up. The reader and the writer are native programs and never the server. Pages of the bench's own files are dropped
 * with posix_fadvise; the machine's caches are left alone. Everything that is made is removed, also if the run is interrupted.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { VERSION } from '../src/version.ts';
import { DRIVERS } from './drivers/all.ts';
import { throwIfInterrupted, untilInterrupted } from './interrupt.ts';
import { buildPrograms, RESULTS_DIRECTORY } from './programs.ts';
import { asSvg } from './report/chart.ts';
import { describeMachine, type RunReport } from './report/run-report.ts';
import { asMarkdown, asText } from './report/tables.ts';
import { measureWorkload, type Row } from './schedule.ts';
import { Subjects } from './subject.ts';
import { judge } from './targets.ts';
import { GROUPS, WORKLOADS } from './workloads/all.ts';

interface Options {
  readonly quick?: boolean;
  readonly only?: string[];
  readonly drivers?: string[];
  readonly rounds?: number;
  readonly size?: number;
  readonly tensors?: number;
  readonly directory?: string;
  readonly out: string;
}

const MIB = 2 ** 20;

const program = new Command('npm run bench --')
  .description('measure reads and writes through a mount against native ones and against the best C loop')
  .option('--quick', 'a small tensor and two rounds: a look, not a result')
  .option(
    '--only <workloads>',
    `some of: ${WORKLOADS.map(({ name }) => name).join(', ')}; or all of: ${Object.keys(GROUPS).join(', ')}`,
    someOf([...WORKLOADS.map(({ name }) => name), ...Object.keys(GROUPS)]),
  )
  .option(
    '--drivers <drivers>',
    `some of: ${DRIVERS.map(({ name }) => name).join(', ')}`,
    someOf(DRIVERS.map(({ name }) => name)),
  )
  .option('--rounds <n>', 'rounds that count (5, quick: 2)', positiveInteger)
  .option('--size <mib>', 'size of the large tensor in MiB (2048, quick: 256)', positiveInteger)
  .option('--tensors <n>', 'most tensors of the models of 20,000 and 91,991 tensors', positiveInteger)
  .option('--directory <dir>', "where the checkpoints are made (the system's temporary directory)")
  .option('--out <dir>', 'where the results are written', RESULTS_DIRECTORY)
  .parse();

await untilInterrupted(() => main(program.opts<Options>()));

async function main(options: Options): Promise<void> {
  const startedAt = new Date().toISOString();
  buildPrograms();
  const tensorBytes = (options.size ?? (options.quick ? 256 : 2048)) * MIB;
  const rounds = options.rounds ?? (options.quick ? 2 : 5);
  const scale = {
    randomSeconds: options.quick ? 0.5 : 1,
    mappedBytes: 512 * MIB,
    randomWrites: options.quick ? 1024 : 4096,
  };
  const machine = await describeMachine();
  const drivers = DRIVERS.filter((driver) => !options.drivers || options.drivers.includes(driver.name));
  const workloads = Object.entries(GROUPS).flatMap(([group, members]) =>
    members.filter(
      ({ name }) => !options.only || options.only.includes(name) || options.only.includes(group),
    ),
  );

  const subjects = await Subjects.in(options.directory, tensorBytes, options.tensors);
  const rows: Row[] = [];
  const seconds: Record<string, number> = {};
  try {
    for (const workload of workloads) {
      const started = performance.now();
      progress(`${workload.name}: making the checkpoint`);
      const subject = await subjects.get(workload.subject);
      rows.push(
        ...(await measureWorkload(workload, drivers, subject, { rounds, scale, onProgress: progress })),
      );
      seconds[workload.name] = Math.round((performance.now() - started) / 1000);
    }
  } finally {
    progress('');
    await subjects.remove();
  }

  throwIfInterrupted();
  const command = ['npm run bench --', ...process.argv.slice(2)].join(' ');
  const report = {
    version: VERSION,
    startedAt,
    command,
    rounds,
    tensorBytes,
    machine,
    seconds,
    rows,
    verdicts: judge(rows),
  };
  process.stdout.write(asText(report));
  await writeReport(report, options.out);
}

async function writeReport(report: RunReport, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const base = path.join(directory, report.startedAt.slice(0, 16).replace(':', ''));
  await writeFile(`${base}.json`, `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(`${base}.svg`, asSvg(report));
  await writeFile(`${base}.md`, asMarkdown(report));
  process.stdout.write(`\n${base}.json, .svg, .md\n`);
}

/** One line that is overwritten on a terminal; elsewhere one line for each step. */
function progress(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${message}`);
  else if (message) process.stderr.write(`${message}\n`);
}

function someOf(known: readonly string[]): (value: string) => string[] {
  return (value) => {
    const named = value.split(',').map((part) => part.trim());
    const unknown = named.find((name) => !known.includes(name));
    if (unknown !== undefined) throw new InvalidArgumentError(`there is no ${unknown}`);
    return named;
  };
}

function positiveInteger(value: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError('a positive whole number');
  return number;
}
