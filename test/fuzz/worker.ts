/** A process that makes and drives mutants, one after the other. Its parent ends it when one takes too long. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readCorpus } from './corpus.ts';
import { Fault, type Outcome, peakMemoryMb, resetPeakMemory, Stopwatch } from './judge.ts';
import { makeMutant } from './mutant.ts';

export interface Order {
  readonly seed: number;
  readonly number: number;
  readonly target: string | undefined;
}

/** Sent when the mutant is made, before it is driven, so that the parent knows it when this process ends. */
export interface Made {
  readonly made: true;
  readonly target: string;
  readonly label: string;
  readonly size: number;
}

export interface Result {
  readonly outcome: Outcome | { readonly kind: 'failed'; readonly reason: string };
  /** Processor time of the slowest step, and its name. */
  readonly slowestMs: number;
  readonly slowestStep: string;
  readonly peakMb: number;
}

/** The heap is tidied up before a mutant when an earlier one left this much. */
const TIDY_FROM_MB = 220;

const corpus = readCorpus(process.argv[2] === 'all');
/** Made and removed by the parent, so that nothing is left when this process is killed. */
const root = process.argv[3] as string;
const folder = join(root, 'now');
const kept = join(root, 'kept');
mkdirSync(kept);
process.on('disconnect', () => process.exit());
let lost: unknown;
process.on('unhandledRejection', (cause) => {
  lost ??= cause;
});

async function carryOut(order: Order): Promise<void> {
  try {
    await drive(order);
  } catch (cause) {
    // Not a defect of what is fuzzed, and yet nothing to go on from.
    const reason = `the mutator failed: ${cause instanceof Error ? cause.stack : cause}`;
    process.send?.({
      outcome: { kind: 'failed', reason },
      slowestMs: 0,
      slowestStep: '',
      peakMb: 0,
    } satisfies Result);
  }
}

async function drive({ seed, number, target: only }: Order): Promise<void> {
  const mutant = makeMutant(seed, number, corpus, only);
  const { target, label, bytes } = mutant;
  process.send?.({ made: true, target, label, size: bytes.byteLength } satisfies Made);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  if (process.memoryUsage.rss() > TIDY_FROM_MB << 20) globalThis.gc?.();
  resetPeakMemory();
  const clock = new Stopwatch();
  let outcome: Result['outcome'];
  lost = undefined;
  try {
    outcome = await mutant.drive({ folder, kept, clock });
    await new Promise((resolve) => setImmediate(resolve));
    if (lost !== undefined) throw lost;
  } catch (cause) {
    const reason =
      cause instanceof Fault
        ? cause.message
        : cause instanceof Error
          ? (cause.stack ?? cause.message)
          : String(cause);
    outcome = { kind: 'failed', reason: reason.replaceAll(root, 'TMP') };
  }
  const { slowestMs, slowestStep } = clock;
  process.send?.({ outcome, slowestMs, slowestStep, peakMb: peakMemoryMb() } satisfies Result);
}

process.on('message', (order: Order) => void carryOut(order));
