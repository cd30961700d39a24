/** Many mutants of one seed, counted. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Corpus } from './corpus.ts';
import type { Driver, Verdict } from './driver.ts';
import { makeMutant } from './mutant.ts';

export interface Failure {
  /** `SEED:N`. */
  readonly id: string;
  readonly target: string;
  readonly label: string;
  readonly reason: string;
}

export interface Extreme {
  readonly value: number;
  readonly id: string;
  readonly what: string;
}

export interface Tally {
  executions: number;
  opened: number;
  refused: number;
  readonly byTarget: Map<string, { opened: number; refused: number; failed: number }>;
  readonly byCode: Map<string, number>;
  readonly failures: Failure[];
  /** In milliseconds of processor time of one step. */
  slowest: Extreme;
  /** In megabytes that the process had. */
  largest: Extreme;
}

export interface Campaign {
  readonly seed: number;
  readonly first: number;
  /** Ends before the mutant for which it is false. */
  readonly goOn: (executions: number) => boolean;
  readonly onFailure?: (failure: Failure) => void;
  readonly onProgress?: (tally: Tally) => void;
}

const NOTHING: Extreme = { value: 0, id: '', what: '' };

export async function runCampaign(driver: Driver, campaign: Campaign): Promise<Tally> {
  const tally: Tally = {
    executions: 0,
    opened: 0,
    refused: 0,
    byTarget: new Map(),
    byCode: new Map(),
    failures: [],
    slowest: NOTHING,
    largest: NOTHING,
  };
  for (let number = campaign.first; campaign.goOn(tally.executions); number++) {
    const id = `${campaign.seed}:${number}`;
    const verdict = await driver.drive(campaign.seed, number);
    count(tally, id, verdict);
    if (verdict.outcome.kind === 'failed') {
      const { target, label } = verdict;
      const failure = { id, target, label, reason: verdict.outcome.reason };
      tally.failures.push(failure);
      campaign.onFailure?.(failure);
    }
    campaign.onProgress?.(tally);
  }
  return tally;
}

function count(
  tally: Tally,
  id: string,
  { target, label, outcome, slowestMs, slowestStep, peakMb }: Verdict,
): void {
  tally.executions++;
  const ofTarget = tally.byTarget.get(target) ?? { opened: 0, refused: 0, failed: 0 };
  tally.byTarget.set(target, ofTarget);
  ofTarget[outcome.kind]++;
  if (outcome.kind === 'opened') tally.opened++;
  if (outcome.kind === 'refused') {
    tally.refused++;
    tally.byCode.set(outcome.code, (tally.byCode.get(outcome.code) ?? 0) + 1);
  }
  const what = `${target} ${label}`;
  if (slowestMs > tally.slowest.value)
    tally.slowest = { value: slowestMs, id, what: `${what}: ${slowestStep}` };
  if (peakMb > tally.largest.value) tally.largest = { value: peakMb, id, what };
}

/** Keeps the input and what was wrong with it. */
export function saveFailure(
  folder: string,
  { id, reason }: Failure,
  corpus: Corpus,
  target?: string,
): string {
  mkdirSync(folder, { recursive: true });
  const [seed = 0, number = 0] = id.split(':').map(Number);
  const path = join(folder, id.replace(':', '-'));
  writeFileSync(path, makeMutant(seed, number, corpus, target).bytes);
  writeFileSync(`${path}.txt`, `${replayCommand(id, target)}\ncorpus ${corpus.digest}\n\n${reason}\n`);
  return path;
}

export function replayCommand(id: string, target?: string): string {
  return `npm run test:fuzz -- --replay ${id}${target === undefined ? '' : ` --target ${target}`}`;
}
