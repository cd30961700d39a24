import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Driver } from '../../drivers/driver.ts';
import { journalBytes, withFresh } from '../../edits.ts';
import { isInstalled, output } from '../../programs.ts';
import type { Subject } from '../../subject.ts';
import type { TrainingStep } from '../../training-step.ts';
import { warm } from '../temperature.ts';
import { editsModel, type Workload } from '../workload.ts';

/** One training step is made from another. */
export const rsync: Workload = {
  name: 'rsync',
  about:
    'rsync -a --inplace --no-whole-file of a model with one block of 4 KiB in a hundred changed, and with every byte changed; native: between plain folders',
  subject: 'layers',
  mostRounds: 2,
  metrics: [
    {
      key: 'journal',
      title: 'rsync of 1 % of blocks: journal for a byte changed',
      unit: 'bytes/byte',
      better: 'lower',
      headline: true,
    },
    { key: 'time', title: 'rsync of 1 % of blocks', unit: 's', better: 'lower' },
    {
      key: 'wholeJournal',
      title: 'rsync of all bytes: journal for a byte changed',
      unit: 'bytes/byte',
      better: 'lower',
    },
    { key: 'whole', title: 'rsync of all bytes', unit: 's', better: 'lower' },
  ],
  appliesTo: editsModel,
  missing: () => (isInstalled('rsync') ? undefined : 'not here: rsync'),
  measure: async (driver, subject) => {
    const step = stepOf(subject);
    await warm(subject);
    const some = await into(driver, subject, step, step.after);
    const whole = await into(driver, subject, step, step.whollyAfter);
    return {
      time: some.seconds,
      journal: some.journal / step.changedBytes,
      whole: whole.seconds,
      wholeJournal: whole.journal / step.totalBytes,
    };
  },
};

function stepOf({ path: checkpoint, step }: Subject): TrainingStep {
  if (step === undefined) throw new Error(`${checkpoint}: nothing was trained`);
  return step;
}

async function into(driver: Driver, subject: Subject, step: TrainingStep, from: string) {
  if (driver.direct) return { seconds: await intoPlainFolder(step, from), journal: Number.NaN };
  return withFresh(driver, subject, async ({ root }, state) => {
    const seconds = await synchronize(from, root);
    return { seconds, journal: await journalBytes(state) };
  });
}

async function intoPlainFolder({ before }: TrainingStep, from: string): Promise<number> {
  const folder = path.join(path.dirname(before), 'plain');
  try {
    await cp(before, folder, { recursive: true });
    return await synchronize(from, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The bytes are compared, whatever size and time say. */
async function synchronize(from: string, to: string): Promise<number> {
  const start = performance.now();
  await output('rsync', ['-a', '--inplace', '--no-whole-file', '--ignore-times', `${from}/`, `${to}/`]);
  return (performance.now() - start) / 1000;
}
