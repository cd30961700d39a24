/** What MLFS promises about speed: ratios between rows of one run, and a few absolute figures. */
import type { Row } from './schedule.ts';

const SERVED_BY_US = 'mlfs kernel';
const C_LOOPS = ['c-loop plain', 'c-loop tuned', 'c-loop threads'];

export interface Cell {
  readonly workload: string;
  readonly metric: string;
  /** The best of these drivers counts. */
  readonly drivers: readonly string[];
}

export interface Target {
  readonly what: string;
  readonly of: Cell;
  /** Without it the figure itself is compared with the limit. */
  readonly against?: Cell;
  readonly limit: { readonly atLeast: number } | { readonly atMost: number };
}

function ours(workload: string, metric: string): Cell {
  return { workload, metric, drivers: [SERVED_BY_US] };
}

/** The same figure of other drivers. */
function compared(what: string, of: Cell, drivers: readonly string[], limit: Target['limit']): Target {
  return { what, of, against: { ...of, drivers }, limit };
}

/** An edit costs the header of a record, and the first edit also that of a segment. */
const EDIT_LIMIT = { atMost: 64 };

const READING: readonly Target[] = [
  compared('first pass / best C loop', ours('sequential', 'first'), C_LOOPS, { atLeast: 0.9 }),
  compared('first pass / fuse-native', ours('sequential', 'first'), ['mlfs fuse-native'], { atLeast: 4 }),
  compared('second pass, kept / native', ours('sequential', 'kept'), ['native'], { atLeast: 0.95 }),
  compared('second pass, reopened / native', ours('sequential', 'reopened'), ['native'], { atLeast: 0.95 }),
  compared('cold disk / native', ours('cold', 'rate'), ['native'], { atLeast: 0.95 }),
  compared('random 4 KiB hot / best C loop', ours('random', 'rate'), C_LOOPS, { atLeast: 0.9 }),
  compared('random 4 KiB from disk / native', ours('random-disk', 'rate'), ['native'], { atLeast: 0.8 }),
  {
    what: 'random 4 KiB hot / C loop on two processors',
    of: ours('random', 'rate'),
    against: { workload: 'placement', metric: 'randomTwo', drivers: ['c-loop plain'] },
    limit: { atLeast: 5 },
  },
  { what: 'first byte, s', of: ours('first-byte', 'command'), limit: { atMost: 0.3 } },
  { what: 'first byte of 1 TiB, s', of: ours('first-byte-1tib', 'command'), limit: { atMost: 0.3 } },
  { what: 'mount of 20,000 tensors, s', of: ours('many', 'mount'), limit: { atMost: 0.5 } },
  compared('find / fuse-zip', ours('many', 'find'), ['fuse-zip'], { atMost: 2 }),
  compared('ls -lR / fuse-zip', ours('many', 'list'), ['fuse-zip'], { atMost: 2 }),
  { what: 'server memory that reading costs, MiB', of: ours('memory', 'growth'), limit: { atMost: 64 } },
];

const WRITING: readonly Target[] = [
  { what: 'journal beyond a 4 KiB edit, the first, bytes', of: ours('edit', 'pageFirst'), limit: EDIT_LIMIT },
  { what: 'journal beyond a 4 KiB edit, the 100th, bytes', of: ours('edit', 'pageLater'), limit: EDIT_LIMIT },
  { what: 'the same across pages, the first, bytes', of: ours('edit', 'acrossFirst'), limit: EDIT_LIMIT },
  { what: 'the same across pages, the 100th, bytes', of: ours('edit', 'acrossLater'), limit: EDIT_LIMIT },
  {
    what: 'journal beyond an edit of one float, the first',
    of: ours('edit', 'floatFirst'),
    limit: EDIT_LIMIT,
  },
  {
    what: 'journal beyond an edit of one float, the 100th',
    of: ours('edit', 'floatLater'),
    limit: EDIT_LIMIT,
  },
  {
    what: 'journal of the same bytes written again, bytes',
    of: ours('write', 'againJournal'),
    limit: { atMost: 0 },
  },
  {
    what: 'commit, file of ten times the size / time',
    of: ours('commit', 'timeTenfold'),
    against: ours('commit', 'time'),
    limit: { atMost: 1.5 },
  },
  {
    what: 'commit, file of ten times the size / bytes written',
    of: ours('commit', 'writtenTenfold'),
    against: ours('commit', 'written'),
    limit: { atMost: 1.5 },
  },
  {
    what: 'rsync of 1 % of blocks, journal / changed bytes',
    of: ours('rsync', 'journal'),
    limit: { atMost: 1.1 },
  },
  {
    what: '1 % edited, read in native code / read',
    of: ours('read-dirty', 'someNative'),
    limit: { atLeast: 1 },
  },
  {
    what: 'wholly edited, read in native code / read',
    of: ours('read-dirty', 'wholeNative'),
    limit: { atLeast: 1 },
  },
  {
    what: 'server memory that writing costs with a budget of 64 MiB, MiB',
    of: ours('write-memory', 'growth'),
    limit: { atMost: 128 },
  },
];

/** In the order of the table. */
export const TARGETS: readonly Target[] = [...READING, ...WRITING];

export interface Verdict {
  readonly what: string;
  /** `≥ 0.9`, `≤ 0.3`. */
  readonly target: string;
  readonly value: number;
  readonly reference: { readonly driver: string; readonly value: number } | undefined;
  /** The figure that is compared with the target: the ratio, or the value itself. */
  readonly figure: number;
  readonly met: boolean;
}

/** The targets whose figures this run has. */
export function judge(rows: readonly Row[]): Verdict[] {
  return TARGETS.flatMap((target) => {
    const value = bestOf(rows, target.of)?.value;
    const reference = target.against && bestOf(rows, target.against);
    if (value === undefined || (target.against && !reference)) return [];
    const figure = reference ? value / reference.value : value;
    const { limit } = target;
    const [sign, bound] = 'atLeast' in limit ? ['≥', limit.atLeast] : ['≤', limit.atMost];
    const met = sign === '≥' ? figure >= bound : figure <= bound;
    return [{ what: target.what, target: `${sign} ${bound}`, value, reference, figure, met }];
  });
}

function bestOf(rows: readonly Row[], cell: Cell): { driver: string; value: number } | undefined {
  let best: { driver: string; value: number } | undefined;
  for (const row of rows) {
    if (row.workload !== cell.workload || row.metric.key !== cell.metric || !row.summary) continue;
    if (!cell.drivers.includes(row.driver)) continue;
    const { median } = row.summary;
    const better =
      row.metric.better === 'higher' ? median > (best?.value ?? -1) : median < (best?.value ?? Infinity);
    if (better) best = { driver: row.driver, value: median };
  }
  return best;
}
