import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTakenCall, TAKEN_CALL_BYTES, takenCallDocument } from '../../../src/rpc/taken-call.ts';

/** Most bytes of a name in a folder. */
const NAME_BYTES = 255;

test('the longest names of a call fit into what a worker reads', () => {
  const suffix = '.'.padEnd(NAME_BYTES - 'input'.length, 'x');
  for (const id of ['\u0001', '\u00ad', '\u200b', '\u{e0001}', '"', 'x']) {
    const call = {
      id: id.repeat(Math.floor(NAME_BYTES / Buffer.byteLength(id))),
      input: `input${suffix}`,
      output: `output${suffix}`,
      answer: 'answer',
    };
    const document = takenCallDocument(call);
    assert.equal(document.length, TAKEN_CALL_BYTES);
    assert.deepEqual(parseTakenCall(document.toString()), call);
  }
});

test('a document is whole or refused, and one without a call is none', () => {
  assert.throws(() =>
    takenCallDocument({ id: 'x'.repeat(TAKEN_CALL_BYTES), input: 'i', output: 'o', answer: 'a' }),
  );
  assert.equal(parseTakenCall(takenCallDocument({}).toString()), undefined);
  for (const text of ['', '{"id": "1', 'null', '{"id": 1, "input": "i", "output": "o", "answer": "a"}']) {
    assert.throws(() => parseTakenCall(text), text);
  }
});
