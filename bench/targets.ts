/** What MLFS promises about speed: ratios between rows of one run, and a few absolute figures. */
import type { Row } from './schedule.ts';

/** A writable mount, as a user has it who asks for nothing. */
const WRITABLE = 'mlfs kernel';
/** A read-only mount. */
const READ_ONLY = 'mlfs view';
const C_LOOPS = ['c-loop plain', 'c-loop tuned', 'c-loop threads'];
const TREE_LOOP = ['c-loop tree'];
const WRITE_LOOPS = ['c-loop store', 'c-loop store-splice', 'c-loop store-threads'];

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
  return { workload, metric, drivers: [WRITABLE] };
}

function readOnly(workload: string, metric: string): Cell {
  return { workload, metric, drivers: [READ_ONLY] };
}

/** The same figure of other drivers. */
function compared(what: string, of: Cell, drivers: readonly string[], limit: Target['limit']): Target {
  return { what, of, against: { ...of, drivers }, limit };
}

/** An edit costs the header of a record, and the first edit also that of a segment. */
const EDIT_LIMIT = { atMost: 64 };
const NATIVE = ['native'];
const AS_NATIVE = { atLeast: 0.95 };

const READ_ONLY_MOUNTS: readonly Target[] = [
  compared('read-only, first pass / native', readOnly('sequential', 'first'), NATIVE, { atLeast: 0.6 }),
  compared('read-only, first pass / best C loop', readOnly('sequential', 'first'), C_LOOPS, { atLeast: 1.8 }),
  compared('read-only, second pass, kept / native', readOnly('sequential', 'kept'), NATIVE, AS_NATIVE),
  compared(
    'read-only, second pass, reopened / native',
    readOnly('sequential', 'reopened'),
    NATIVE,
    AS_NATIVE,
  ),
  compared('read-only, mmap, first touch / native', readOnly('mmap', 'first'), NATIVE, { atLeast: 0.5 }),
  compared('read-only, mmap, cached / native', readOnly('mmap', 'second'), NATIVE, AS_NATIVE),
  compared('read-only, random 4 KiB, read before / native', readOnly('random', 'cached'), NATIVE, AS_NATIVE),
  {
    what: 'read-only, random 4 KiB, first touch, reads/s',
    of: readOnly('random', 'rate'),
    limit: { atLeast: 35_000 },
  },
  compared('read-only, cold disk / native', readOnly('cold', 'rate'), NATIVE, { atLeast: 0.9 }),
];

const WRITABLE_MOUNTS: readonly Target[] = [
  compared('writable, first pass / best C loop', ours('sequential', 'first'), C_LOOPS, { atLeast: 1 }),
  compared('writable, first pass / fuse-native', ours('sequential', 'first'), ['mlfs fuse-native'], {
    atLeast: 4,
  }),
  compared('writable, second pass, kept / native', ours('sequential', 'kept'), NATIVE, AS_NATIVE),
  compared('writable, second pass, reopened / native', ours('sequential', 'reopened'), NATIVE, AS_NATIVE),
  compared('writable, cold disk / native', ours('cold', 'rate'), NATIVE, AS_NATIVE),
  compared('writable, random 4 KiB, first touch / best C loop', ours('random', 'rate'), C_LOOPS, {
    atLeast: 0.9,
  }),
  compared('writable, random 4 KiB from disk / native', ours('random-disk', 'rate'), NATIVE, {
    atLeast: 0.8,
  }),
  {
    what: 'writable, random 4 KiB, first touch / C loop on two processors',
    of: ours('random', 'rate'),
    against: { workload: 'placement', metric: 'randomTwo', drivers: ['c-loop plain'] },
    limit: { atLeast: 5 },
  },
  { what: 'server memory that reading costs, MiB', of: ours('memory', 'growth'), limit: { atMost: 64 } },
];

const NODE: Cell = ours('start-up', 'node');

const START_UP: readonly Target[] = [
  {
    what: 'first byte, command / node -e 0',
    of: ours('first-byte', 'command'),
    against: NODE,
    limit: { atMost: 4 },
  },
  {
    what: 'first byte of 1 TiB, command / node -e 0',
    of: ours('first-byte-1tib', 'command'),
    against: NODE,
    limit: { atMost: 4 },
  },
];

const WALKS: readonly Target[] = [
  { what: '20,000 tensors: mount, s', of: ours('walk', 'mount'), limit: { atMost: 0.4 } },
  { what: '20,000 tensors: first find, s', of: ours('walk', 'find'), limit: { atMost: 0.5 } },
  compared('20,000 tensors: first find / C loop', ours('walk', 'find'), TREE_LOOP, { atMost: 2 }),
  { what: '20,000 tensors: ls -lR, s', of: ours('walk', 'list'), limit: { atMost: 0.6 } },
  compared('20,000 tensors: ls -lR / C loop', ours('walk', 'list'), TREE_LOOP, { atMost: 2 }),
  compared('open+read+close of 20,000, writable / C loop', ours('walk', 'open'), TREE_LOOP, { atMost: 2 }),
  compared('open+read+close of 20,000, read-only / C loop', readOnly('walk', 'open'), TREE_LOOP, {
    atMost: 2,
  }),
  compared('20,000 tensors: find / fuse-zip', ours('many', 'find'), ['fuse-zip'], { atMost: 2 }),
  compared('20,000 tensors: ls -lR / fuse-zip', ours('many', 'list'), ['fuse-zip'], { atMost: 2 }),
  { what: '91,991 tensors: mount, s', of: ours('walk-experts', 'mount'), limit: { atMost: 1.2 } },
  { what: '91,991 tensors: first find, s', of: ours('walk-experts', 'find'), limit: { atMost: 2.5 } },
  {
    what: '91,991 tensors: server, most ever, MiB',
    of: ours('walk-experts', 'peak'),
    limit: { atMost: 200 },
  },
  {
    what: '91,991 tensors, safetensors: mount, s',
    of: ours('walk-safetensors', 'mount'),
    limit: { atMost: 1.2 },
  },
  {
    what: '91,991 tensors, safetensors: first find, s',
    of: ours('walk-safetensors', 'find'),
    limit: { atMost: 2.5 },
  },
  {
    what: '91,991 tensors, safetensors: server, most ever, MiB',
    of: ours('walk-safetensors', 'peak'),
    limit: { atMost: 200 },
  },
];

const WRITING: readonly Target[] = [
  compared('write in order, fsync at the end / best C loop', ours('write', 'end'), WRITE_LOOPS, {
    atLeast: 0.5,
  }),
  compared('random 4 KiB write, fsync at the end / best C loop', ours('write-random', 'end'), WRITE_LOOPS, {
    atLeast: 0.5,
  }),
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
  { what: 'mount that replays 512 MiB, s', of: ours('replay', 'mount'), limit: { atMost: 0.6 } },
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
export const TARGETS: readonly Target[] = [
  ...READ_ONLY_MOUNTS,
  ...WRITABLE_MOUNTS,
  ...START_UP,
  ...WALKS,
  ...WRITING,
];

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
