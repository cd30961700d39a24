/** What users append to the log costs bounded memory, and no time of others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Log } from '../../../src/telemetry/log.ts';

const MIB = 2 ** 20;
const textOf = async (log: { size(): number; read(offset: number, length: number): Promise<Uint8Array> }) =>
  Buffer.from(await log.read(0, log.size())).toString();

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function memoryBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test('megabytes of short lines cost no more memory than long ones', async () => {
  const log = new Log();
  const user = log.appender();
  const before = memoryBytes();
  for (const line of ['a\n', 'é\n', '\x01\n']) {
    const bytes = Buffer.from(line.repeat(MIB / Buffer.byteLength(line)));
    for (let count = 0; count < 2; count++) await user.append(bytes);
    assert.ok(log.size() <= MIB && log.rotated.size() <= MIB && log.rotated.size() > MIB / 2);
    const more = memoryBytes() - before;
    assert.ok(more < 24 * MIB, `${JSON.stringify(line)}: ${more} bytes`);
  }
});

test('a large write of short lines leaves many turns of the event loop to others, however many write', async () => {
  const log = new Log();
  const bytes = Buffer.from('\x01\n'.repeat(MIB / 4));
  let turns = 0;
  let writing = true;
  const count = () => {
    turns++;
    if (writing) setImmediate(count);
  };
  setImmediate(count);
  const writers = Array.from({ length: 4 }, () => log.appender());
  await Promise.all(writers.map((writer) => writer.append(bytes)));
  writing = false;
  // A turn is at most some thousands of lines of all of them together.
  assert.ok(turns >= (4 * bytes.length) / 2 / 4096, `${turns} turns`);
});

test('lines of writes that take turns stay whole and in the order of their writer', async () => {
  const kept: string[] = [];
  const log = new Log({ sink: (lines) => kept.push(...lines.split('\n').slice(0, -1)) });
  const writers = ['a', 'b', 'c'].map((who) => ({ who, user: log.appender() }));
  const written = writers.map(({ who, user }) => {
    const lines = Array.from(
      { length: 20_000 },
      (_, index) => `${who} ${index}${index % 7 === 0 ? 'é' : ''}`,
    );
    const bytes = Buffer.from(lines.join('\n'));
    // Cut in the middle of lines; none is waited for, and the last line has no newline.
    for (let at = 0; at < bytes.length; at += 50_001) void user.append(bytes.subarray(at, at + 50_001));
    return { who, lines, ended: user.end() };
  });
  for (const { ended } of written) await ended;
  for (const { who, lines } of written) {
    assert.deepEqual(
      kept.filter((line) => line.startsWith(who)),
      lines,
    );
  }
  assert.equal(kept.length, 60_000);
});

test('a log that is rotated while it is read has whole lines only', async () => {
  const log = new Log({ maxBytes: 200_000 });
  const user = log.appender();
  for (let count = 0; count < 20; count++) {
    await user.append(Buffer.from(`${count} ${'x'.repeat(count * 137)}\n`.repeat(100)));
    for (const kept of [await textOf(log), await textOf(log.rotated)]) {
      if (kept !== '') assert.match(kept, /^(\d+ x*\n)+$/);
    }
  }
});
