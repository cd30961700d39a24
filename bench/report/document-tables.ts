/**
 * The tables of README.md and docs/PERFORMANCE.md. They are made from the results of one run, and stand between two marks of the document:
 *
 *   <!-- figures: summary of bench/results/RUN.json -->
 *   …
 *   <!-- /figures -->
 *
 * `npm run bench:documents -- bench/results/RUN.json` writes them, and a test compares them with the run that they name.
 */
import type { Row } from '../schedule.ts';
import { judge } from '../targets.ts';
import { figure, withUnit } from './figures.ts';
import type { RunReport } from './run-report.ts';
import { markdown, TARGET_HEAD, targetRow } from './tables.ts';

export type Part = 'summary' | 'figures';

interface Line {
  readonly what: string;
  readonly workload: string;
  readonly metric: string;
  readonly inSummary?: true;
}

interface Column {
  readonly title: string;
  /** The best of these drivers is shown. */
  readonly shows: (driver: string) => boolean;
}

const COLUMNS: readonly Column[] = [
  { title: 'MLFS, read-only', shows: (driver) => driver === 'mlfs view' },
  { title: 'MLFS, read-only, own data plane', shows: (driver) => driver === 'mlfs plane' },
  { title: 'MLFS, writable', shows: (driver) => driver === 'mlfs kernel' },
  { title: 'best C program', shows: (driver) => driver.startsWith('c-loop') },
  { title: 'no mount', shows: (driver) => driver.startsWith('native') },
  { title: 'MLFS on fuse-native', shows: (driver) => driver === 'mlfs fuse-native' },
  { title: 'fuse-zip', shows: (driver) => driver === 'fuse-zip' },
];
/** Those of the summary. */
const SUMMARY_TITLES = ['MLFS, read-only', 'MLFS, writable', 'best C program', 'no mount'];

const LINES: readonly Line[] = [
  { what: 'first read, file in the page cache', workload: 'sequential', metric: 'first', inSummary: true },
  {
    what: "second read, from the kernel's cache",
    workload: 'sequential',
    metric: 'kept',
    inSummary: true,
  },
  { what: 'second read, file opened again', workload: 'sequential', metric: 'reopened' },
  { what: 'first read, from disk', workload: 'cold', metric: 'rate', inSummary: true },
  {
    what: 'random 4 KiB reads, file in the page cache',
    workload: 'random',
    metric: 'rate',
    inSummary: true,
  },
  { what: 'random 4 KiB reads of what was read before', workload: 'random', metric: 'cached' },
  { what: 'random 4 KiB reads, from disk', workload: 'random-disk', metric: 'rate' },
  { what: 'mapped memory, first touch', workload: 'mmap', metric: 'first', inSummary: true },
  { what: 'mapped memory, touched before', workload: 'mmap', metric: 'second' },
  { what: 'mount to first byte', workload: 'first-byte', metric: 'command', inSummary: true },
  { what: 'mount to first byte, 1 TiB', workload: 'first-byte-1tib', metric: 'command', inSummary: true },
  { what: '`node -e 0`', workload: 'start-up', metric: 'node' },
  { what: '`mlfs --version`', workload: 'start-up', metric: 'version' },
  { what: '`mlfs info` of its checkpoint', workload: 'start-up', metric: 'info' },
  { what: '`find -type f`, for 20,000 files', workload: 'many', metric: 'find' },
  { what: '`ls -lR`, for 20,000 files', workload: 'many', metric: 'list' },
  { what: '20,000 tensors: mount in the foreground', workload: 'many', metric: 'mount' },
  { what: '20,000 tensors: mount', workload: 'walk', metric: 'mount' },
  { what: '20,000 tensors: first `find`', workload: 'walk', metric: 'find', inSummary: true },
  { what: '20,000 tensors: second `find`', workload: 'walk', metric: 'again' },
  { what: '20,000 tensors: `ls -lR`', workload: 'walk', metric: 'list' },
  { what: '20,000 tensors: open, read and close each', workload: 'walk', metric: 'open' },
  { what: '20,000 tensors: memory of the server', workload: 'walk', metric: 'peak' },
  ...ofExperts('91,991 tensors', 'walk-experts'),
  ...ofExperts('91,991 tensors in a .safetensors', 'walk-safetensors'),
  { what: 'write in order, nothing synced', workload: 'write', metric: 'none' },
  { what: 'write in order, fsync at the end', workload: 'write', metric: 'end', inSummary: true },
  { what: 'write in order, fdatasync every 64 MiB', workload: 'write', metric: 'often' },
  { what: 'random 4 KiB writes, nothing synced', workload: 'write-random', metric: 'none' },
  { what: 'random 4 KiB writes, fsync at the end', workload: 'write-random', metric: 'end', inSummary: true },
  { what: 'random 4 KiB writes, fdatasync every 64', workload: 'write-random', metric: 'often' },
  { what: 'write through a mapping, fsync at the end', workload: 'write-mapped', metric: 'end' },
  {
    what: 'random 4 KiB writes through a mapping, fsync at the end',
    workload: 'write-mapped',
    metric: 'random',
  },
  { what: 'eight writers at a time, fsync at the end', workload: 'write-together', metric: 'end' },
  { what: 'eight writers of random 4 KiB, fdatasync every 64', workload: 'write-together', metric: 'often' },
  { what: 'mount that replays a journal of 512 MiB', workload: 'replay', metric: 'mount', inSummary: true },
  { what: 'commit of a wholly edited tensor, or `cp` and `sync`', workload: 'commit-whole', metric: 'time' },
  { what: '`rsync` with 1 % of blocks changed', workload: 'rsync', metric: 'time' },
  { what: '`rsync` with all bytes changed', workload: 'rsync', metric: 'whole' },
  { what: 'statistics of a float32 tensor, or numpy', workload: 'statistics', metric: 'float32' },
  { what: 'statistics of a float16 tensor, or numpy', workload: 'statistics', metric: 'float16' },
  { what: '`mlfs seal`, or `sha256sum`', workload: 'seal', metric: 'rate' },
  { what: '`mlfs verify`, or `unzip -t`', workload: 'verify', metric: 'rate' },
  { what: '`mlfs diff` of equal checkpoints, or `cmp`', workload: 'diff', metric: 'equal' },
  { what: '`mlfs diff`, all elements differ', workload: 'diff', metric: 'changed' },
  { what: 'memory of the server for reading the tensor', workload: 'memory', metric: 'growth' },
];

function ofExperts(what: string, workload: string): Line[] {
  const shown = workload === 'walk-experts' ? ({ inSummary: true } as const) : {};
  return [
    { what: `${what}: mount`, workload, metric: 'mount', ...shown },
    { what: `${what}: first \`find\``, workload, metric: 'find', ...shown },
    { what: `${what}: \`ls -lR\``, workload, metric: 'list' },
    { what: `${what}: memory of the server`, workload, metric: 'peak', ...shown },
  ];
}

const MARK =
  /^<!-- figures: (summary|figures) of (bench\/results\/[\w.-]+\.json) -->\n[\s\S]*?^<!-- \/figures -->$/gm;

/** The results that a document shows: paths from the project's folder. */
export function shownResults(document: string): string[] {
  return [...document.matchAll(MARK)].map(([, , result = '']) => result);
}

/**
 * The document with its tables made from the run in `resultPath`, a path from the project's folder. `toProject` leads from the document's folder
 * to the project's: '' or '../'.
 */
export function withFigures(
  document: string,
  report: RunReport,
  resultPath: string,
  toProject: string,
): string {
  return document.replace(MARK, (_, part: Part) => {
    const content = part === 'summary' ? summary(report) : figures(report, resultPath, toProject);
    return `<!-- figures: ${part} of ${resultPath} -->\n${content}\n<!-- /figures -->`;
  });
}

function summary(report: RunReport): string {
  const columns = COLUMNS.filter(({ title }) => SUMMARY_TITLES.includes(title));
  return [
    conditions(report),
    '',
    table(
      report.rows,
      LINES.filter(({ inSummary }) => inSummary),
      columns,
    ),
  ].join('\n');
}

function figures(report: RunReport, resultPath: string, toProject: string): string {
  const beside = `${toProject}${resultPath.replace(/\.json$/, '')}`;
  return [
    `${conditions(report)} Everything in a row was measured side by side in one run ([all rows](${beside}.md)).`,
    '',
    table(report.rows, LINES, COLUMNS),
    '',
    markdown(TARGET_HEAD, judge(report.rows).map(targetRow)),
    '',
    `![Chart of the results](${beside}.svg)`,
  ].join('\n');
}

function conditions({ version, tensorBytes, machine, command, startedAt }: RunReport): string {
  const [system, release = ''] = machine.kernel.split(' ');
  const kernel = `${system} ${release.split('.').slice(0, 2).join('.')}`;
  const node = `Node ${machine.node.replace(/^v(\d+).*$/, '$1')}`;
  const processors = `${machine.processors} with ${machine.memoryGib} GiB`;
  return `Version ${version ?? FIRST_VERSION}, ${startedAt.slice(0, 10)}, a tensor of ${figure(tensorBytes / 2 ** 30)} GiB, ${processors}, ${kernel}, ${node}: \`${command}\`.`;
}

/** Runs of 0.1.0 do not say their version. */
const FIRST_VERSION = '0.1.0';

/** Lines and columns of which the run has nothing are left out. */
function table(rows: readonly Row[], lines: readonly Line[], columns: readonly Column[]): string {
  const cellsOf = lines
    .map((line) => {
      const of = rows.filter(
        (row) => row.workload === line.workload && row.metric.key === line.metric && row.summary,
      );
      return {
        what: line.what,
        best: columns.map(({ shows }) => best(of.filter((row) => shows(row.driver)))),
      };
    })
    .filter(({ best: all }) => all.some((row) => row !== undefined));
  const used = columns.map((_, at) => cellsOf.some((line) => line.best[at] !== undefined));
  const isUsed = <T>(_: T, at: number) => used[at] === true;
  const noMount = columns.findIndex(({ title }) => title === 'no mount');
  return markdown(
    ['what', ...columns.map(({ title }) => title).filter(isUsed)],
    cellsOf.map(({ what, best: all }) => [
      what,
      ...all.map((row, at) => cell(row, at === noMount ? undefined : all[noMount])).filter(isUsed),
    ]),
  );
}

function best(rows: readonly Row[]): Row | undefined {
  const median = (row: Row) => row.summary?.median ?? Number.NaN;
  return rows.reduce<Row | undefined>((most, row) => {
    if (most === undefined) return row;
    return (row.metric.better === 'higher' ? median(row) > median(most) : median(row) < median(most))
      ? row
      : most;
  }, undefined);
}

/** `3.53 GB/s (0.15 ×)`: in brackets the ratio to the same without a mount. */
function cell(row: Row | undefined, noMount: Row | undefined): string {
  if (!row?.summary) return '';
  const value = withUnit(row.summary.median, row.metric);
  if (!noMount?.summary) return value;
  return `${value} (${(row.summary.median / noMount.summary.median).toPrecision(2)} ×)`;
}
