import { read } from '../../client.ts';
import type { Driver, Opened } from '../../drivers/driver.ts';
import { mlfsKernel } from '../../drivers/mlfs.ts';
import { journalBytes, withState } from '../../edits.ts';
import { statusOf } from '../../mount-status.ts';
import type { Subject } from '../../subject.ts';
import { nextSeed, type WritePlan, write } from '../../writing-client.ts';
import { warm } from '../temperature.ts';
import { editsModel, type Workload } from '../workload.ts';

const MIB = 2 ** 20;
const JOURNAL_BYTES = 512 * MIB;

/** The cost of mounting after the server was killed: the next mount reads the whole journal before it answers. */
export const replay: Workload = {
  name: 'replay',
  about:
    'mlfs mount, from the start of the command to its end, with a journal of 512 MiB (or the whole tensor, if that is less) whose server was killed with SIGKILL; native: as many bytes read from a plain file; all in the page cache',
  subject: 'large',
  mostRounds: 3,
  metrics: [
    { key: 'mount', title: 'mount that replays up to 512 MiB', unit: 's', better: 'lower', headline: true },
    {
      key: 'scattered',
      title: 'mount that replays edits of 4 KiB at random',
      unit: 's',
      better: 'lower',
    },
    { key: 'clean', title: 'mount without a journal', unit: 's', better: 'lower' },
    { key: 'journal', title: 'journal that was replayed', unit: 'MiB', better: 'lower' },
  ],
  appliesTo: (driver) => editsModel(driver) && (driver.direct === true || driver.name === mlfsKernel.name),
  measure: async (driver, subject, { randomWrites }) => {
    await warm(subject);
    const { offset } = subject.tensor;
    const length = Math.min(JOURNAL_BYTES, subject.tensor.length);
    if (driver.direct) {
      const { passes } = await read({ mode: 'seq', path: subject.path, offset, length });
      return { mount: passes[0]?.seconds ?? Number.NaN };
    }
    const whole = await replaying(driver, subject, { mode: 'seq', length });
    const scattered = await replaying(driver, subject, { mode: 'random', count: randomWrites });
    const clean = await withState(subject, (state) => secondsToMount(driver, subject, state, 0));
    return {
      mount: whole.seconds,
      scattered: scattered.seconds,
      clean,
      journal: whole.journal / MIB,
    };
  },
};

type Edits = Pick<WritePlan, 'mode' | 'count'> & { readonly length?: number };

/** Writes edits in which every byte differs, kills the server, and mounts again. */
function replaying(driver: Driver, subject: Subject, how: Edits) {
  return withState(subject, async (state) => {
    const opened = await driver.open(subject, { state });
    let edited: number;
    try {
      const { path, offset, length } = opened;
      const all = { path, offset, length, seed: nextSeed(), invert: true, sync: 'end' as const };
      edited = (await write({ ...all, ...how })).bytes;
      kill(opened);
    } finally {
      await opened.close();
    }
    const journal = await journalBytes(state);
    return { seconds: await secondsToMount(driver, subject, state, edited), journal };
  });
}

function kill({ pid, root }: Opened): void {
  if (!pid) throw new Error(`${root}: its server is not known`);
  process.kill(pid, 'SIGKILL');
}

/** Throws if the mount does not have exactly so many bytes of edits. */
async function secondsToMount(
  driver: Driver,
  subject: Subject,
  state: string,
  edited: number,
): Promise<number> {
  const start = performance.now();
  const mounted = await driver.launch?.(subject, 'command', { state });
  const seconds = (performance.now() - start) / 1000;
  try {
    if (mounted?.documents === undefined) throw new Error(`${driver.name}: has no command that mounts`);
    const { dirty_bytes: dirty } = await statusOf(mounted.documents);
    if (dirty !== edited) throw new Error(`${dirty} bytes were replayed, not ${edited}`);
    return seconds;
  } finally {
    await mounted?.close();
  }
}
