/** Commands that read a whole checkpoint, beside the program that does the same to any file; each from its start to its end. */
import { mlfsKernel } from '../../drivers/mlfs.ts';
import { CLI, isInstalled, output } from '../../programs.ts';
import type { Subject } from '../../subject.ts';
import { warm } from '../temperature.ts';
import type { Metric, Workload } from '../workload.ts';

interface Check {
  readonly name: string;
  readonly program: string;
  readonly about: string;
  readonly metrics: readonly Metric[];
  readonly ofMlfs: (subject: Subject) => Promise<Record<string, number>>;
  readonly ofProgram: (subject: Subject) => Promise<Record<string, number>>;
}

function check({ name, program, about, metrics, ofMlfs, ofProgram }: Check): Workload {
  return {
    name,
    about: `${about}; everything in the page cache; GB of the checkpoint a second, the start of the program included`,
    subject: 'weights',
    metrics,
    appliesTo: (driver) => driver.name === 'native' || driver.name === mlfsKernel.name,
    missing: ({ direct }) => (direct && !isInstalled(program) ? `not here: ${program}` : undefined),
    measure: async ({ direct }, subject) => {
      await warm(subject);
      return direct ? ofProgram(subject) : ofMlfs(subject);
    },
  };
}

export const sealing = check({
  name: 'seal',
  program: 'sha256sum',
  about: 'mlfs seal; native: sha256sum',
  metrics: [{ key: 'rate', title: 'seal: SHA-256 of every tensor', unit: 'GB/s', better: 'higher' }],
  ofMlfs: async (subject) => ({ rate: await mlfs(subject, ['seal', subject.path]) }),
  ofProgram: async (subject) => ({ rate: await rate(subject, 'sha256sum', [subject.path]) }),
});

export const verifying = check({
  name: 'verify',
  program: 'unzip',
  about: 'mlfs verify; native: unzip -t',
  metrics: [{ key: 'rate', title: 'verify: CRC-32 of every entry', unit: 'GB/s', better: 'higher' }],
  ofMlfs: async (subject) => ({ rate: await mlfs(subject, ['verify', subject.path]) }),
  ofProgram: async (subject) => ({ rate: await rate(subject, 'unzip', ['-tqq', subject.path]) }),
});

export const comparing = check({
  name: 'diff',
  program: 'cmp',
  about:
    'mlfs diff of two checkpoints with the same bytes, and of two whose elements all differ; native: cmp of the two with the same bytes',
  metrics: [
    { key: 'equal', title: 'diff: the same bytes', unit: 'GB/s', better: 'higher' },
    { key: 'changed', title: 'diff: all elements differ', unit: 'GB/s', better: 'higher' },
  ],
  ofMlfs: async (subject) => ({
    equal: await mlfs(subject, ['diff', subject.path, beside(subject, subject.copy)]),
    changed: await mlfs(subject, ['diff', subject.path, beside(subject, subject.changed)], 1),
  }),
  ofProgram: async (subject) => ({
    equal: await rate(subject, 'cmp', [subject.path, beside(subject, subject.copy)]),
  }),
});

function beside({ path: checkpoint }: Subject, other: string | undefined): string {
  if (other === undefined) throw new Error(`${checkpoint}: has nothing to be compared with`);
  return other;
}

function mlfs(subject: Subject, args: readonly string[], expected = 0): Promise<number> {
  return rate(subject, process.execPath, [CLI, ...args], expected);
}

async function rate(
  { size }: Subject,
  program: string,
  args: readonly string[],
  expected = 0,
): Promise<number> {
  const start = performance.now();
  await output(program, args, { expected });
  return size / ((performance.now() - start) / 1000) / 1e9;
}
