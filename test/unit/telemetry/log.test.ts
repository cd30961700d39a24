import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Log, logfmt } from '../../../src/telemetry/log.ts';

const now = () => new Date(0);
const text = async (log: Log) => Buffer.from(await log.read(0, log.size())).toString();

test('a line is logfmt, quoted where it must be', () => {
  assert.equal(
    logfmt({ msg: 'two words', n: 1, path: '/a', eq: 'a=b', empty: '', none: undefined, line: 'a\nb' }),
    'msg="two words" n=1 path=/a eq="a=b" empty="" line="a\\nb"',
  );
});

test('the log keeps and hands on whole lines above its level', async () => {
  const seen: string[] = [];
  const log = new Log({ now, level: 'warn', sink: (line) => seen.push(line) });
  log.info('quiet');
  log.warn('loud', { code: 3 });
  assert.equal(await text(log), 'time=1970-01-01T00:00:00.000Z level=warn msg=loud code=3\n');
  assert.deepEqual(seen, [await text(log)]);
});

test('a read anywhere gives the bytes that a whole read has there', async () => {
  const log = new Log({ now });
  for (let i = 0; i < 20; i++) log.info(`message ${'é'.repeat(i)}`);
  const whole = Buffer.from(await log.read(0, log.size()));
  for (const [offset, length] of [
    [0, 1],
    [50, 100],
    [whole.length - 3, 10],
    [whole.length, 5],
  ] as const) {
    assert.deepEqual(Buffer.from(await log.read(offset, length)), whole.subarray(offset, offset + length));
  }
});

test('a full log begins anew, and its lines are in the rotated one', async () => {
  const log = new Log({ now, maxBytes: 1000 });
  for (let i = 0; i < 100; i++) {
    log.info('m', { i });
    assert.ok(log.size() <= 1000 && log.rotated.size() <= 1000, 'there is a bound');
    const kept = Buffer.from(await log.rotated.read(0, log.rotated.size())).toString() + (await text(log));
    const lines = kept.split('\n');
    assert.equal(lines.pop(), '');
    assert.ok(
      lines.every((line, index) => line.endsWith(`i=${i + 1 - lines.length + index}`)),
      'no line is lost',
    );
  }
  assert.ok(log.rotated.size() > 500);
});

test('what a user appends is kept as lines, what is hidden in them escaped', async () => {
  const log = new Log({ now });
  const user = log.appender();
  await user.append(Buffer.from('one\n\ntwo \x1b[31m\t\u202e\u0085'));
  log.info('x');
  await user.end();
  const lines = (await text(log)).split('\n');
  assert.deepEqual([lines[0], lines[2]], ['one', 'two \\x1b[31m\\t\\u202e\\x85']);
});

test('lines that come in parts are whole, whoever else writes meanwhile', async () => {
  const log = new Log({ now, maxBytes: 1e6 });
  const lines = (who: string) =>
    Array.from({ length: 50 }, (_, i) => `${who} ${i} ${'é'.repeat(i * 60)} end`);
  const users = ['a', 'b', 'c'].map((who) => ({
    appender: log.appender(),
    bytes: Buffer.from(lines(who).join('\n')),
    at: 0,
  }));
  for (let step = 0; users.some(({ at, bytes }) => at < bytes.length); step++) {
    for (const user of users) {
      await user.appender.append(user.bytes.subarray(user.at, user.at + 1 + (step % 977)));
      user.at += 1 + (step % 977);
    }
  }
  for (const { appender } of users) await appender.end();
  const kept = (await text(log)).split('\n');
  assert.equal(kept.pop(), '');
  for (const who of ['a', 'b', 'c']) {
    assert.deepEqual(
      kept.filter((line) => line.startsWith(who)),
      lines(who),
    );
  }
  assert.equal(kept.length, 150);
});

test('an enormous line is cut between two characters, in parts or not, and the next one is whole', async () => {
  for (const part of [1000, 1e6]) {
    const log = new Log({ now, maxBytes: 100_000 });
    const user = log.appender();
    const bytes = Buffer.from(`${'é'.repeat(50_000)}\nnext\n`);
    for (let at = 0; at < bytes.length; at += part) await user.append(bytes.subarray(at, at + part));
    assert.match(await text(log), /^é{4094}…\nnext\n$/);
  }
});

test('an enormous line of our own is cut', async () => {
  const log = new Log({ now, maxBytes: 100_000 });
  log.info('x'.repeat(1_000_000));
  assert.ok(log.size() < 10_000);
});
