import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Journal } from '../../../../src/storage/journal/journal.ts';
import { SeededRandom } from '../../../crash/seeded-random.ts';
import { SimulatedMedium } from '../../../crash/simulated-medium.ts';
import { put, Recorder } from './recorder.ts';

const DIRECTORY = '/state/journal';

type Step = 'append' | 'two' | 'sync' | 'rotate' | 'commit';

async function eventsOf(medium: SimulatedMedium): Promise<string[]> {
  const recorder = new Recorder();
  await Journal.open(medium, DIRECTORY, recorder);
  // One that is not removed yet shows nothing else.
  return (await recorder.events()).filter((event) => event !== 'discard');
}

/** What a user was told: writes in the order in which they were acknowledged, and how many of them are durable for sure. */
class Told {
  readonly writes: string[] = [];
  durable = 0;
  #next = 0;
  #discardInDoubt = false;

  async discard(journal: Journal): Promise<void> {
    try {
      await journal.discard();
      this.writes.length = 0;
      this.durable = 0;
    } catch {
      this.#discardInDoubt = true;
    }
  }

  /** While the journal cannot even take back what failed, a discard that failed may be found to be done. */
  mayBeNothing(journal: Journal): boolean {
    this.#discardInDoubt &&= journal.failed;
    return this.#discardInDoubt;
  }

  async carryOut(journal: Journal, step: Step): Promise<void> {
    const known = this.writes.length;
    if (step === 'append' || step === 'two') {
      const texts = Array.from({ length: step === 'two' ? 2 : 1 }, () => `<${this.#next++}>`);
      await journal.append(texts.map((text) => put(7, text)));
      this.writes.push(...texts.map((text) => `7:${text}`));
    } else if (step === 'rotate') {
      await journal.rotate();
    } else {
      const note = String(this.#next++);
      if (step === 'sync') await journal.sync();
      else this.writes.push(`commit ${note} in ${await journal.markCommit(note)}`);
      this.durable = Math.max(this.durable, known);
    }
  }
}

test('whatever fails while many write and sync at a time, what was acknowledged survives a kill, and what was synced a power loss', async () => {
  const group = fc.array(
    fc.constantFrom<Step>('append', 'append', 'append', 'two', 'sync', 'sync', 'rotate', 'commit'),
    { minLength: 1, maxLength: 6 },
  );
  let failures = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(group, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 100, max: 1500 }),
      fc.integer(),
      async (groups, segmentBytes, seed) => {
        const random = new SeededRandom(seed);
        const medium = new SimulatedMedium();
        const journal = await Journal.open(medium, DIRECTORY, new Recorder(), { segmentBytes });
        const told = new Told();
        medium.fate = () => {
          if (!random.chance(0.12)) return 'done';
          failures++;
          return { errno: 'EIO' };
        };
        for (const steps of groups) {
          await Promise.allSettled(steps.map((step) => told.carryOut(journal, step)));
          if (random.chance(0.1)) await told.discard(journal);
          const killed = medium.copy();
          killed.restart();
          killed.fate = () => 'done';
          const found = await eventsOf(killed);
          if (found.length === 0 && told.mayBeNothing(journal)) continue;
          // What failed and could not be taken away yet may follow, for as long as the journal says so.
          assert.deepEqual(journal.failed ? found.slice(0, told.writes.length) : found, told.writes);

          const toss = () => random.chance(0.5);
          const survivals = medium
            .unsynced()
            .map(({ units }) => ({ units: Array.from({ length: units }, toss), grown: toss() }));
          const left = await eventsOf(medium.afterCrash(survivals));
          if (left.length === 0 && told.mayBeNothing(journal)) continue;
          const kept = journal.failed ? left.slice(0, told.writes.length) : left;
          assert.ok(kept.length >= told.durable, `${kept.length} are left, ${told.durable} were durable`);
          if (journal.failed)
            assert.deepEqual(kept.slice(0, told.durable), told.writes.slice(0, told.durable));
          else assert.deepEqual(kept, told.writes.slice(0, kept.length));
        }
        medium.fate = () => 'done';
        await told.carryOut(journal, 'append');
        await told.carryOut(journal, 'sync');
        assert.deepEqual(await eventsOf(medium.afterCrash([])), told.writes);
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(failures > 100, `${failures} calls failed`);
});
