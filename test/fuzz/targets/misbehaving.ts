/** Not chosen by a campaign: does what a defect would do, so that a test sees the fuzzer notice it. */
import { setTimeout } from 'node:timers/promises';
import { MlfsError } from '../../../src/errors.ts';
import { expect, OPENED, type Outcome, refusal } from '../judge.ts';
import type { Scene, Target } from '../target.ts';

export const misbehavingTarget: Target = {
  name: 'misbehaving',
  weight: 1,
  make(_random, _corpus, number) {
    const [label, misbehave] = KINDS[number % KINDS.length] as (typeof KINDS)[number];
    return { label, bytes: Buffer.from(label), drive: misbehave };
  },
};

const SLOW_MS = 2500;
const LARGE_BYTES = 600 << 20;

type Misbehaviour = (scene: Scene) => Promise<Outcome>;

export const KINDS: readonly (readonly [label: string, misbehave: Misbehaviour])[] = [
  ['nothing', async () => OPENED],
  [
    'a refusal',
    async () => refusal(new MlfsError('ERR_MLFS_ZIP', 'model.pt: is broken', { path: 'model.pt' })),
  ],
  ['an untyped error', async () => refusal(new TypeError('undefined is not a function'))],
  ['an untyped error, wrapped', async () => refusal(new MlfsError('ERR_MLFS_INTERNAL', 'oh'))],
  ['a refusal without a path', async () => refusal(new MlfsError('ERR_MLFS_ZIP', 'is broken'), 'model.pt')],
  [
    'a broken promise',
    async () => {
      expect(false, () => 'a size is not the size');
      return OPENED;
    },
  ],
  [
    'a lost rejection',
    async () => {
      void Promise.reject(new Error('nobody waits for this'));
      await setTimeout(1);
      return OPENED;
    },
  ],
  [
    'a slow step',
    ({ clock }) =>
      clock.run('spin', () => {
        const before = process.cpuUsage();
        for (let spent = 0; spent < SLOW_MS; ) {
          for (let step = 0; step < 1_000_000; step++) Math.sqrt(step);
          const { user, system } = process.cpuUsage(before);
          spent = (user + system) / 1000;
        }
        return OPENED;
      }),
  ],
  [
    'much memory',
    async () => {
      const bytes = Buffer.alloc(LARGE_BYTES, 1);
      return bytes.length > 0 ? OPENED : OPENED;
    },
  ],
  [
    'a crash',
    async () => {
      process.kill(process.pid, 'SIGKILL');
      await setTimeout(60_000);
      return OPENED;
    },
  ],
];
