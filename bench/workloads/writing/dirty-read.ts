import { gigabytesPerSecond, read } from '../../client.ts';
import type { Driver } from '../../drivers/driver.ts';
import { counters, withState } from '../../edits.ts';
import type { Subject } from '../../subject.ts';
import { type WritePlan, write } from '../../writing-client.ts';
import { warm } from '../temperature.ts';
import { editsModel, type Workload } from '../workload.ts';

const BLOCK_BYTES = 4096;

/** The cost of reading bytes from the journal: each read is from a new mount, which has replayed the edits. */
export const dirtyRead: Workload = {
  name: 'read-dirty',
  about:
    'pread of 1 MiB blocks from front to end of a clean tensor, with one block of 4 KiB in a hundred edited, and wholly edited; everything in the page cache, fresh mounts',
  subject: 'shared',
  mostRounds: 2,
  metrics: [
    { key: 'clean', title: 'first pass, clean', unit: 'GB/s', better: 'higher' },
    { key: 'some', title: 'first pass, 1 % of blocks edited', unit: 'GB/s', better: 'higher' },
    { key: 'whole', title: 'first pass, wholly edited', unit: 'GB/s', better: 'higher', headline: true },
    {
      key: 'someNative',
      title: 'bytes read in native code for a byte read, 1 % edited',
      unit: 'bytes/byte',
      better: 'higher',
    },
    {
      key: 'wholeNative',
      title: 'bytes read in native code for a byte read, wholly edited',
      unit: 'bytes/byte',
      better: 'higher',
    },
    { key: 'wholeMount', title: 'mount that replays a wholly edited tensor', unit: 's', better: 'lower' },
  ],
  appliesTo: editsModel,
  measure: async (driver, subject) => {
    await warm(subject);
    return withState(subject, async (state) => {
      const clean = await firstPass(driver, subject, state);
      const count = Math.ceil(subject.tensor.length / BLOCK_BYTES / 100);
      await edit(driver, subject, state, { mode: 'random', block: BLOCK_BYTES, count });
      const some = await firstPass(driver, subject, state);
      await edit(driver, subject, state, { mode: 'seq' });
      const whole = await firstPass(driver, subject, state);
      return {
        clean: clean.rate,
        some: some.rate,
        whole: whole.rate,
        someNative: some.nativeShare,
        wholeNative: whole.nativeShare,
        wholeMount: driver.direct ? Number.NaN : whole.mountSeconds,
      };
    });
  },
};

async function edit(
  driver: Driver,
  subject: Subject,
  state: string,
  how: Pick<WritePlan, 'mode' | 'block' | 'count'>,
): Promise<void> {
  const opened = await driver.open(subject, { state });
  try {
    const { path, offset, length } = opened;
    await write({ path, offset, length, ...how });
  } finally {
    await opened.close();
  }
}

async function firstPass(driver: Driver, subject: Subject, state: string) {
  const start = performance.now();
  const opened = await driver.open(subject, { state });
  const mountSeconds = (performance.now() - start) / 1000;
  try {
    const { path, offset, length } = opened;
    const before = await counters(opened);
    const { passes } = await read({ mode: 'seq', path, offset, length });
    const after = await counters(opened);
    const nativeBytes = (after.native_read_bytes_total ?? Number.NaN) - (before.native_read_bytes_total ?? 0);
    return { rate: gigabytesPerSecond(passes[0]), nativeShare: nativeBytes / length, mountSeconds };
  } finally {
    await opened.close();
  }
}
