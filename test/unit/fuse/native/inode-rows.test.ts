import assert from 'node:assert/strict';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { INODE, LISTING } from '../../../../src/storage/native.ts';
import { requires } from '../../../support/requires.ts';
import { output } from '../../../support/run.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';
import { bodyOf, message, nameBody, readBody } from '../message.ts';
import { FakeKernel } from './fake-kernel.ts';

const S_IFREG = 0o100444;
const BYTES = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 7) % 256));

function startKernel(t: TestContext): FakeKernel {
  const kernel = new FakeKernel();
  t.after(() => kernel.close());
  kernel.session.setTreeDefaults({ uid: 1, gid: 2, readOnly: true, keepMs: 1500 });
  return kernel;
}

function row(nodeid: number, size: number, flags: number, file = -1, offset = 0): number[] {
  return [nodeid, S_IFREG, 1, size, -3, 5, 0, flags, 0, file, offset];
}

test('a READ of a row is answered from its file, up to its size', async (t) => {
  const kernel = startKernel(t);
  const file = path.join(await temporaryDirectory(t), 'image');
  writeFileSync(file, BYTES);
  const fd = openSync(file, 'r');
  const index = kernel.session.addFile(fd, BYTES.length);
  closeSync(fd);
  kernel.session.addInodes(
    Float64Array.from([...row(2, 1000, INODE.READABLE, index, 77), ...row(3, 1000, 0, index, 77)]),
  );
  const read = async (nodeid: number, offset: number, size: number) => {
    const [served] = await kernel.serve([message('READ', { nodeid, body: readBody(BigInt(offset), size) })]);
    assert.ok(served !== undefined);
    return 'reply' in served ? bodyOf(served.reply) : undefined;
  };
  assert.deepEqual(await read(2, 0, 4096), BYTES.subarray(77, 1077));
  assert.deepEqual(await read(2, 990, 4096), BYTES.subarray(1067, 1077));
  assert.equal((await read(2, 1000, 10))?.length, 0);
  assert.equal(await read(3, 0, 10), undefined, 'it is not readable without a handle');
  kernel.session.withdrawInodes(Float64Array.of(2));
  assert.equal(await read(2, 0, 10), undefined);
  assert.equal(kernel.session.counters().native_read_bytes_total, 1010);
});

test('the first reference that a session thread gives and the last that is forgotten are told', async (t) => {
  const kernel = startKernel(t);
  const { session } = kernel;
  session.addInodes(
    Float64Array.from([...row(2, 1, INODE.TELL), ...row(3, 1, 0), 1, 0o40555, 1, 0, 0, 0, 1, 0, 0, -1, 0]),
  );
  session.publishListings(Float64Array.of(1, LISTING.COMPLETE, 2, 2, 3, 1, 3, 4, 1), Buffer.from('ab'));
  const lookups = ['a', 'a', 'b'].map((name, at) =>
    message('LOOKUP', { unique: BigInt(at * 2 + 2), body: nameBody(name) }),
  );
  await kernel.serve(lookups);
  assert.deepEqual([...session.takeRemembered()], [2]);
  assert.deepEqual([...session.takeRemembered()], []);
  assert.equal(session.references(2), 2);
  assert.equal(session.addReference(2), true);
  assert.equal(session.addReference(9), false);
  await kernel.serve([
    message('FORGET', { nodeid: 2, body: count(2n) }),
    message('FORGET', { nodeid: 3, body: count(1n) }),
  ]);
  assert.deepEqual(kernel.forgotten, []);
  await kernel.serve([message('FORGET', { nodeid: 2, body: count(1n) })]);
  while (kernel.forgotten.length === 0) await setImmediate();
  assert.deepEqual(kernel.forgotten, [2]);
  assert.equal(session.references(2), 0);
});

test('opened files are counted by room, whichever plane releases them', async (t) => {
  const kernel = startKernel(t);
  const inRoom = row(2, 1, INODE.READABLE);
  inRoom[8] = 3;
  kernel.session.addInodes(Float64Array.from(inRoom));
  const open = (unique: bigint) => message('OPEN', { unique, nodeid: 2, uid: 0, body: Buffer.alloc(8) });
  await kernel.serve([
    open(2n),
    open(4n),
    message('RELEASE', { unique: 6n, nodeid: 2, body: Buffer.alloc(24) }),
  ]);
  assert.equal(kernel.session.openFilesByRoom()[3], 1);
  assert.equal(kernel.session.counters().native_opens_total, 2);
});

test('numbers that cannot be are refused, and nothing is changed', (t) => {
  const { session } = startKernel(t);
  const refused: readonly (readonly [RegExp, () => void])[] = [
    [/not whole/, () => session.addInodes(Float64Array.of(1, 2, 3))],
    [/nodeid/, () => session.addInodes(Float64Array.from(row(2 ** 28, 1, 0)))],
    [/nodeid/, () => session.addInodes(Float64Array.from(row(Number.NaN, 1, 0)))],
    [/size/, () => session.addInodes(Float64Array.from([...row(2, 1, 0), ...row(3, -1, 0)]))],
    [/size/, () => session.addInodes(Float64Array.from(row(2, 0.5, 0)))],
    [/flags/, () => session.addInodes(Float64Array.from(row(2, 1, 128)))],
    [/file/, () => session.addInodes(Float64Array.from(row(2, 1, 0, 7)))],
    [
      /entries are missing/,
      () => session.publishListings(Float64Array.of(2, 0, 5, 3, 3, 1), Buffer.from('a')),
    ],
    [/length of a name/, () => session.publishListings(Float64Array.of(2, 0, 1, 3, 3, 2), Buffer.from('a'))],
    [/ascend/, () => session.publishListings(Float64Array.of(2, 0, 1, 3, 2, 1), Buffer.from('a'))],
    [/times/, () => session.changeInode(2, 0, 0, 0, 0, new Float64Array(5))],
    [/80 bytes/, () => session.setStatfs(Buffer.alloc(79))],
  ];
  for (const [reason, act] of refused) assert.throws(act, { name: 'RangeError', message: reason });
  assert.equal(session.addReference(2), false);
});

function count(references: bigint): Buffer {
  const body = Buffer.alloc(8);
  body.writeBigUInt64LE(references, 0);
  return body;
}

test(
  'where memory runs out, a change is refused as a whole, and the table goes on',
  requires('prlimit'),
  async () => {
    const program = fileURLToPath(new URL('./table-without-memory.ts', import.meta.url));
    const said = JSON.parse(
      await output(process.execPath, ['--import', import.meta.resolve('tsx'), program]),
    );
    const refused = {
      message: 'there is no memory for more inodes in the table',
      errno: constants.errno.ENOMEM,
    };
    assert.deepEqual(said.failures, [refused, refused]);
    assert.deepEqual(said.answered, ['forwarded', 'reply']);
  },
);
