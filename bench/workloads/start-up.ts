import { mlfsKernel } from '../drivers/mlfs.ts';
import { CLI, output } from '../programs.ts';
import type { Workload } from './workload.ts';

/** How long a command takes to say something, beside the least that Node takes. */
export const startUp: Workload = {
  name: 'start-up',
  about: 'from starting a command to its end: node -e 0, mlfs --version, mlfs info of the large checkpoint',
  subject: 'large',
  metrics: [
    { key: 'node', title: 'node -e 0', unit: 's', better: 'lower' },
    { key: 'version', title: 'mlfs --version', unit: 's', better: 'lower', headline: true },
    { key: 'info', title: 'mlfs info', unit: 's', better: 'lower' },
  ],
  appliesTo: ({ name }) => name === mlfsKernel.name,
  measure: async (_driver, subject) => ({
    node: await timed(['-e', '0']),
    version: await timed([CLI, '--version']),
    info: await timed([CLI, 'info', subject.path]),
  }),
};

async function timed(args: readonly string[]): Promise<number> {
  const start = performance.now();
  await output(process.execPath, args);
  return (performance.now() - start) / 1000;
}
