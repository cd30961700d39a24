import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, test } from 'node:test';
import { replayCommand, runCampaign } from '../fuzz/campaign.ts';
import { readCorpus } from '../fuzz/corpus.ts';
import { Driver } from '../fuzz/driver.ts';
import { makeMutant } from '../fuzz/mutant.ts';
import { KINDS } from '../fuzz/targets/misbehaving.ts';

/** What is driven is always the same, so that a run that was green stays green; `npm run test:fuzz` goes further. */
const SEED = Number(process.env.MLFS_SEED ?? 1);
const MUTANTS = 800;

/** Of the project's own files only: they are the same on every machine. */
const corpus = readCorpus(false);
const driver = new Driver({ others: false });
after(() => driver.close());

test('a mutant depends on its seed and number alone', () => {
  const digest = (number: number) => {
    const { target, label, bytes } = makeMutant(SEED, number, corpus);
    return createHash('sha256').update(`${target} ${label}`).update(bytes).digest('hex');
  };
  const forwards = Array.from({ length: 60 }, (_, number) => digest(number));
  const backwards = Array.from({ length: 60 }, (_, number) => digest(59 - number)).reverse();
  assert.deepEqual(forwards, backwards);
  assert.equal(new Set(forwards).size, 60, 'no two are the same');
  assert.notEqual(
    digest(0),
    createHash('sha256')
      .update(makeMutant(SEED + 1, 0, corpus).bytes)
      .digest('hex'),
  );
});

test('errors that are not typed, broken promises, crashes, two seconds and 512 MB are failures', async () => {
  const misbehaving = new Driver({ others: false, target: 'misbehaving' });
  try {
    const outcomes: string[] = [];
    for (let number = 0; number < KINDS.length; number++) {
      const { outcome, label } = await misbehaving.drive(SEED, number);
      outcomes.push(`${label}: ${outcome.kind === 'failed' ? outcome.reason.split('\n')[0] : outcome.kind}`);
    }
    const expected = [
      /^nothing: opened$/,
      /^a refusal: refused$/,
      /: untyped: TypeError: undefined is not a function$/,
      /: untyped: MlfsError: oh$/,
      /: ERR_MLFS_ZIP: without a path: is broken$/,
      /: a size is not the size$/,
      /: Error: nobody waits for this$/,
      /: spin took \d+ ms of processor time$/,
      /: the process had \d+ MB$/,
      /: the process ended with SIGKILL$/,
    ];
    assert.equal(outcomes.length, expected.length);
    for (const [index, pattern] of expected.entries()) assert.match(outcomes[index] ?? '', pattern);
    // A new process goes on where the last one crashed.
    assert.equal((await misbehaving.drive(SEED, 0)).outcome.kind, 'opened');
  } finally {
    await misbehaving.close();
  }
});

test(`${MUTANTS} mutants of real files are taken or refused, within time and memory`, async () => {
  const tally = await runCampaign(driver, {
    seed: SEED,
    first: 0,
    goOn: (executions) => executions < MUTANTS,
  });
  const { failures, opened, refused, byTarget } = tally;
  const report = failures.map(
    ({ id, target, label, reason }) => `${replayCommand(id)} --fixtures-only: ${target} ${label}: ${reason}`,
  );
  assert.deepEqual(report, []);
  assert.equal(opened + refused, MUTANTS);
  // Mutants that are all refused would show that the mutator broke, not that the parsers are sound.
  const { opened: checkpointsOpened = 0, refused: checkpointsRefused = 0 } = byTarget.get('checkpoint') ?? {};
  assert.ok(checkpointsOpened > 50 && checkpointsRefused > 50, JSON.stringify([...byTarget]));
});
