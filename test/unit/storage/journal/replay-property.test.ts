import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Journal } from '../../../../src/storage/journal/journal.ts';
import { SimulatedMedium } from '../../../crash/simulated-medium.ts';
import { Recorder } from './recorder.ts';

const DIRECTORY = '/state/journal';

type Step =
  | {
      readonly kind: 'append';
      readonly writes: readonly { readonly offset: number; readonly text: string }[];
    }
  | { readonly kind: 'batch'; readonly parts: readonly string[]; readonly ended: boolean }
  | { readonly kind: 'rotate' | 'sync' | 'commit' };

const text = fc.string({ minLength: 0, maxLength: 12 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      writes: fc.array(fc.record({ offset: fc.nat(1000), text }), { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      parts: fc.array(text, { minLength: 1, maxLength: 3 }),
      ended: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('rotate' as const, 'sync' as const, 'commit' as const) }),
  },
);

/** What replay shows once the first so many records are whole. */
class Model {
  readonly #events: (readonly string[])[] = [];
  /** Records that a sync acknowledged. */
  durable = 0;

  /** One more record; `events` become visible with it. */
  record(...events: string[]): void {
    this.#events.push(events);
  }

  get records(): number {
    return this.#events.length;
  }

  after(records: number): string[] {
    return this.#events.slice(0, records).flat();
  }
}

const show = (offset: number, content: string) => `${offset}:${Buffer.from(content).toString('latin1')}`;

async function carryOut(journal: Journal, steps: readonly Step[], model: Model): Promise<void> {
  for (const one of steps) {
    if (one.kind === 'append') {
      await journal.append(
        one.writes.map(({ offset, text: content }) => ({ offset, bytes: Buffer.from(content) })),
      );
      for (const { offset, text: content } of one.writes) model.record(show(offset, content));
    } else if (one.kind === 'batch') {
      const batch = journal.beginBatch();
      for (const [offset, part] of one.parts.entries()) {
        await journal.append([{ offset, bytes: Buffer.from(part) }], batch);
        model.record();
      }
      if (!one.ended) continue;
      await journal.endBatch(batch);
      model.record(...one.parts.map((part, offset) => show(offset, part)));
    } else if (one.kind === 'rotate') {
      await journal.rotate();
    } else if (one.kind === 'sync') {
      await journal.sync();
      model.durable = model.records;
    } else {
      model.record(`commit ${model.records} in ${await journal.markCommit(String(model.records))}`);
      model.durable = model.records;
    }
  }
}

async function replayOf(
  files: Readonly<Record<string, Buffer>>,
): Promise<{ events: string[]; records: number }> {
  const recorder = new Recorder();
  const journal = await Journal.open(SimulatedMedium.holding(files), DIRECTORY, recorder);
  const events = await recorder.events();
  const { lastSequence } = journal.counters;
  await journal.append([{ offset: 0, bytes: Buffer.from('goes on') }]);
  assert.equal(journal.counters.lastSequence, lastSequence + 1n);
  return { events, records: Number(lastSequence) };
}

test('a journal whose last segment is cut at any byte replays to what its whole records say', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 60, max: 400 }),
      async (steps, segmentBytes) => {
        const medium = new SimulatedMedium();
        const model = new Model();
        const journal = await Journal.open(medium, DIRECTORY, new Recorder(), { segmentBytes });
        await carryOut(journal, steps, model);
        const files: Record<string, Buffer> = {};
        for (const name of await medium.list(DIRECTORY)) {
          files[`${DIRECTORY}/${name}`] = Buffer.from(medium.bytesOf(`${DIRECTORY}/${name}`) as Buffer);
        }
        const last = Object.keys(files).at(-1);
        if (last === undefined) return;
        const whole = files[last] as Buffer;
        let before = 0;
        for (let size = 0; size <= whole.byteLength; size++) {
          const { events, records } = await replayOf({ ...files, [last]: whole.subarray(0, size) });
          assert.deepEqual(events, model.after(records), `cut at byte ${size} of ${last}`);
          assert.ok(records >= before, 'a longer journal does not hold less');
          before = records;
        }
        assert.equal(before, model.records);
      },
    ),
    { numRuns: 40 },
  );
});

test('whatever a power loss keeps of what was not synced, replay finds the first so many records', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 60, max: 2000 }),
      fc.infiniteStream(fc.boolean()),
      async (steps, segmentBytes, coin) => {
        const medium = new SimulatedMedium();
        const model = new Model();
        const journal = await Journal.open(medium, DIRECTORY, new Recorder(), { segmentBytes });
        await carryOut(journal, steps, model);
        const toss = () => coin.next().value === true;
        for (let crash = 0; crash < 10; crash++) {
          const survivals = medium
            .unsynced()
            .map(({ units }) => ({ units: Array.from({ length: units }, toss), grown: toss() }));
          const after = medium.afterCrash(survivals);
          const recorder = new Recorder();
          const { counters } = await Journal.open(after, DIRECTORY, recorder);
          const records = Number(counters.lastSequence);
          assert.ok(records >= model.durable, `${records} records, ${model.durable} were durable`);
          assert.deepEqual(await recorder.events(), model.after(records));
        }
      },
    ),
    { numRuns: 150 },
  );
});
