import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { OPCODE_LIMIT, OPCODES } from '../../../src/fuse/protocol/opcodes.ts';
import { desk } from './desk.ts';
import { message } from './message.ts';

const SILENT: ReadonlySet<number> = new Set([OPCODES.FORGET, OPCODES.BATCH_FORGET, OPCODES.NOTIFY_REPLY]);
/** May be answered or not: it is refused when it is malformed or comes for nothing. */
const MAYBE_SILENT = OPCODES.INTERRUPT;

/** Bodies that look like something: small numbers, all ones, names. */
const body = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc
    .array(fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 255, 97), { maxLength: 200 })
    .map((bytes) => Uint8Array.from(bytes)),
);

const requests = fc.array(
  fc.record({
    opcode: fc.oneof(fc.integer({ min: 0, max: OPCODE_LIMIT + 2 }), fc.integer({ min: 0, max: 0xffff_ffff })),
    nodeid: fc.oneof(
      fc.integer({ min: 0, max: 8 }),
      fc.maxSafeInteger().filter((n) => n >= 0),
    ),
    body,
  }),
  { maxLength: 20 },
);

test('whatever is in a message, it gets exactly one reply with its own unique, or none where none is due', async () => {
  await fc.assert(
    fc.asyncProperty(requests, async (sequence) => {
      const { dispatcher, replies } = desk();
      const expected: bigint[] = [];
      for (const [index, { opcode, nodeid, body }] of sequence.entries()) {
        const unique = BigInt(2 * index + 2);
        if (!SILENT.has(opcode) && opcode !== MAYBE_SILENT) expected.push(unique);
        dispatcher.handle(message(opcode, { nodeid, unique, body }));
      }
      for (let turn = 0; turn < 50 && dispatcher.counters().requests_pending !== 0; turn++)
        await setImmediate();
      dispatcher.end();
      const answered = replies
        .map((reply) => reply.readBigUInt64LE(8))
        .filter((unique) => sequence[Number(unique) / 2 - 1]?.opcode !== MAYBE_SILENT)
        .sort((a, b) => Number(a - b));
      assert.deepEqual(answered, expected);
      for (const reply of replies) {
        assert.equal(reply.readUInt32LE(0), reply.length, 'length');
        const error = reply.readInt32LE(4);
        assert.ok(error <= 0 && error > -512, `error ${error}`);
        assert.ok(error === 0 || reply.length === 16, 'a refusal has no body');
      }
    }),
    { numRuns: 500 },
  );
});

test('bytes that are no message at all never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      desk().dispatcher.handle(Buffer.from(bytes));
    }),
    { numRuns: 500 },
  );
});
