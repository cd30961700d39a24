import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { journalBytes, withState } from '../../edits.ts';
import { output } from '../../programs.ts';
import type { Subject } from '../../subject.ts';
import type { TrainingStep } from '../../training-step.ts';
import { warm } from '../temperature.ts';
import { editsModel, type Workload } from '../workload.ts';

/** One training step is made from another. */
export const rsync: Workload = {
  name: 'rsync',
  about: 'rsync -a --inplace --no-whole-file of a model with one block of 4 KiB in a hundred changed',
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
  ],
  appliesTo: editsModel,
  measure: async (driver, subject) => {
    const step = stepOf(subject);
    await warm(subject);
    if (driver.direct) return { time: await intoPlainFolder(step) };
    return withState(subject, async (state) => {
      const opened = await driver.open(subject, { state });
      try {
        const time = await synchronize(step, opened.root);
        return { time, journal: (await journalBytes(state)) / step.changedBytes };
      } finally {
        await opened.close();
      }
    });
  },
};

function stepOf({ path: checkpoint, step }: Subject): TrainingStep {
  if (step === undefined) throw new Error(`${checkpoint}: nothing was trained`);
  return step;
}

async function intoPlainFolder(step: TrainingStep): Promise<number> {
  const folder = path.join(path.dirname(step.before), 'plain');
  try {
    await cp(step.before, folder, { recursive: true });
    return await synchronize(step, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The bytes are compared, whatever size and time say. */
async function synchronize(step: TrainingStep, into: string): Promise<number> {
  const start = performance.now();
  await output('rsync', [
    '-a',
    '--inplace',
    '--no-whole-file',
    '--ignore-times',
    `${step.after}/`,
    `${into}/`,
  ]);
  return (performance.now() - start) / 1000;
}
