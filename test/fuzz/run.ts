/**
 * npm run test:fuzz -- [MINUTES] [--seed N] [--first N] [--target NAME] [--count N] [--fixtures-only]
 * npm run test:fuzz -- --replay SEED:N [--target NAME]
 *
 * Drives mutants of real files through everything that reads what others made. Failures are kept in fuzz-failures/ (or --keep DIR), each
 * with the command that makes it again. A failure is an error that is not typed, a crash, a hang, more than 2 s of processor time for one
 * step, more than 512 MB, or a promise that does not hold.
 */

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { replayCommand, runCampaign, saveFailure, type Tally } from './campaign.ts';
import { readCorpus } from './corpus.ts';
import { Driver } from './driver.ts';
import { makeMutant } from './mutant.ts';

const DEFAULT_MINUTES = 1;
const SAY_EVERY_MS = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    first: { type: 'string', default: '0' },
    count: { type: 'string' },
    target: { type: 'string' },
    replay: { type: 'string' },
    keep: { type: 'string', default: 'fuzz-failures' },
    'fixtures-only': { type: 'boolean', default: false },
  },
});
const others = !values['fixtures-only'];
const corpus = readCorpus(others);
const { target } = values;
const driver = new Driver({ others, target });

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Drives one mutant, leaves its bytes in the temporary folder, and says what came of it. */
async function replay(id: string): Promise<boolean> {
  const [seed = 0, number = 0] = id.split(':').map(Number);
  const path = join(tmpdir(), `mlfs-mutant-${seed}-${number}`);
  writeFileSync(path, makeMutant(seed, number, corpus, target).bytes);
  const { outcome, ...verdict } = await driver.drive(seed, number);
  say(`mutant ${id}: ${verdict.target}, made from ${verdict.label}, ${verdict.size} bytes: ${path}`);
  say(`corpus ${corpus.digest}`);
  say(`slowest step ${Math.round(verdict.slowestMs)} ms (${verdict.slowestStep}), ${verdict.peakMb} MB`);
  say(outcome.kind === 'failed' ? `failed: ${outcome.reason}` : JSON.stringify(outcome));
  return outcome.kind !== 'failed';
}

async function campaign(): Promise<boolean> {
  const minutes = Number(positionals[0] ?? DEFAULT_MINUTES);
  const seed = Number(values.seed ?? Date.now() % 2 ** 31);
  const most = values.count === undefined ? Number.POSITIVE_INFINITY : Number(values.count);
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || Number.isNaN(most)) {
    say('npm run test:fuzz -- [MINUTES] [--seed N]: minutes and seed are numbers');
    return false;
  }
  const startedMs = performance.now();
  const until = startedMs + minutes * 60_000;
  let saidMs = startedMs;
  say(`seed ${seed}, ${minutes} min, ${corpus.files.length} files (corpus ${corpus.digest})`);
  const tally = await runCampaign(driver, {
    seed,
    first: Number(values.first),
    goOn: (executions) => executions < most && performance.now() < until,
    onFailure: (failure) => {
      const path = saveFailure(values.keep, failure, corpus, target);
      say(`FAILURE ${failure.id} ${failure.target} ${failure.label}: ${failure.reason.slice(0, 600)}`);
      say(`  ${path}; again: ${replayCommand(failure.id, target)}`);
    },
    onProgress: (tally) => {
      if (performance.now() - saidMs < SAY_EVERY_MS) return;
      saidMs = performance.now();
      say(`${Math.round((saidMs - startedMs) / 60_000)} min: ${summary(tally)}`);
    },
  });
  for (const [name, { opened, refused, failed }] of tally.byTarget) {
    say(`  ${name}: ${opened} opened, ${refused} refused, ${failed} failed`);
  }
  const codes = [...tally.byCode].sort(([, a], [, b]) => b - a).map(([code, count]) => `${code} ${count}`);
  say(`  refusals: ${codes.join(', ')}`);
  say(
    `slowest step: ${Math.round(tally.slowest.value)} ms of processor time, ${tally.slowest.id} ${tally.slowest.what}`,
  );
  say(`most memory: ${tally.largest.value} MB, ${tally.largest.id} ${tally.largest.what}`);
  say(`seed ${seed}: ${summary(tally)}`);
  return tally.failures.length === 0;
}

function summary({ executions, opened, refused, failures }: Tally): string {
  return `${executions} executions, ${opened} opened, ${refused} refused, ${failures.length} failed`;
}

// With their processes and folders.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const good = values.replay === undefined ? await campaign() : await replay(values.replay);
await driver.close();
process.exitCode = good ? 0 : 1;
