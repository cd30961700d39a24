import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SteadyDocument, statementOf } from '../../../src/tree/steady-document.ts';

const RUNNING = new Set(['uptime_seconds', 'counters']);
const stated = (document: object) => statementOf(`${JSON.stringify(document, null, 2)}\n`, RUNNING);

test('counters change nothing but themselves: size and time are the same', async () => {
  const status = { state: 'current', uptime_seconds: 9, counters: { opens: 1, reads: 0 }, tensors: 3 };
  const document = new SteadyDocument(async () => stated(status), 0);
  const before = await document.make();
  const beforeMs = document.changedMs();
  status.uptime_seconds = 123_456;
  status.counters.opens = Number.MAX_SAFE_INTEGER;
  const after = await document.make();
  assert.deepEqual([after.byteLength, document.changedMs()], [before.byteLength, beforeMs]);
  assert.deepEqual(JSON.parse(Buffer.from(after).toString()), status);
});

test('what is lasting makes it another document, of a later time', async () => {
  const status = { state: 'current', uptime_seconds: 9, tensors: 3 };
  const document = new SteadyDocument(async () => stated(status), 0);
  await document.make();
  const beforeMs = document.changedMs();
  status.tensors = 4;
  await document.make();
  assert.ok(document.changedMs() > beforeMs);
  // As long as it was, and another one all the same.
  const changedMs = document.changedMs();
  await document.make();
  assert.equal(document.changedMs(), changedMs);
});

test('only the named members are running, and their names alone say so', () => {
  const { text, lasting } = stated({
    counters: { opens: 1 },
    journal: { counters: 2, uptime_seconds: 3 },
    path: '"counters": {\n  "x": 1',
    uptime_seconds: 4,
  });
  assert.doesNotMatch(lasting, /"opens": +1|^ {2}"uptime_seconds": +4/m);
  assert.match(lasting, /"counters": 2,\n {4}"uptime_seconds": 3/);
  assert.match(text, /"opens": {16}1\n/);
});

test('a text with room grows into blanks, and takes a step when they are used up', async () => {
  let text = 'a 1\n';
  const document = new SteadyDocument(async () => ({ text, lasting: '' }), 100);
  assert.equal((await document.make()).byteLength, 1024);
  const beforeMs = document.changedMs();
  text = 'a 123456789\n';
  const bytes = Buffer.from(await document.make());
  assert.match(bytes.toString(), /^a 123456789\n *\n$/);
  assert.deepEqual([bytes.byteLength, document.changedMs()], [1024, beforeMs]);
  text = `a ${'9'.repeat(1022)}\n`;
  assert.equal((await document.make()).byteLength, 2048);
  assert.ok(document.changedMs() > beforeMs);
});
