import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TracedRequest } from '../../../src/fuse/request-trace.ts';
import { desk } from './desk.ts';
import { message } from './message.ts';

function tracingDesk() {
  const heard: TracedRequest[] = [];
  return { ...desk({ trace: (request) => heard.push(request) }), heard };
}

const named = (structBytes: number, ...names: string[]) =>
  Buffer.concat([Buffer.alloc(structBytes), ...names.map((name) => Buffer.from(`${name}\0`))]);

test('each request is told with its names and its answer when it is answered', async () => {
  const { ask, askLater, heard } = tracingDesk();
  ask('LOOKUP', { nodeid: 1, body: named(0, 'nothing') });
  ask('STATFS', { nodeid: 1 });
  await askLater('CREATE', { nodeid: 1, body: named(16, 'new') });
  await askLater('RENAME', { nodeid: 1, body: named(8, 'from', 'to') });
  const told = heard.map(({ opcode, nodeid, name, newName, errno }) => [
    opcode,
    nodeid,
    name,
    newName,
    errno,
  ]);
  assert.deepEqual(told, [
    ['LOOKUP', 1, 'nothing', undefined, 'ENOENT'],
    ['STATFS', 1, undefined, undefined, 'OK'],
    ['CREATE', 1, 'new', undefined, 'EACCES'],
    ['RENAME', 1, 'from', 'to', 'EACCES'],
  ]);
  for (const { microseconds } of heard) assert.ok(Number.isInteger(microseconds) && microseconds >= 0);
});

test('a message that lies about its length, or ends in a name, is told as far as it goes', () => {
  const { dispatcher, heard } = tracingDesk();
  const lying = message('LOOKUP', { nodeid: 1, body: Buffer.from('no end') });
  dispatcher.handle(lying);
  const short = message('READ', { nodeid: 1, body: Buffer.alloc(4) });
  dispatcher.handle(short);
  assert.deepEqual(
    heard.map(({ opcode, name, offset, errno }) => [opcode, name, offset, errno]),
    [
      ['LOOKUP', 'no end', undefined, 'EINVAL'],
      ['READ', undefined, undefined, 'EINVAL'],
    ],
  );
});
