import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { MlfsError } from '../../../src/errors.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { StateFile } from '../../../src/storage/state-file.ts';
import { unnamedFile } from '../../../src/storage/unnamed-file.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function emptyFile(t: TestContext, maxSize = 1000) {
  const path = join(await temporaryDirectory(t), 'file');
  let made = 0;
  const file = new StateFile({
    open: () => {
      made++;
      return diskMedium.open(path, 'create');
    },
    size: 0,
    maxSize,
  });
  t.after(() => file.close());
  return { path, file, made: () => made };
}

test('looking at a file that was never written to makes nothing', async (t) => {
  const { path, file, made } = await emptyFile(t);
  assert.equal(file.size(), 0);
  assert.equal((await file.read(0, 100)).byteLength, 0);
  await file.truncate(0);
  await file.write(50, new Uint8Array(0));
  await file.sync();
  assert.equal(made(), 0);
  await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('holes are zeros and take no room; reads end where the file does', async (t) => {
  const { path, file } = await emptyFile(t, 2 ** 40);
  await file.write(2 ** 30, Buffer.from('end'));
  assert.equal(file.size(), 2 ** 30 + 3);
  assert.deepEqual(Buffer.from(await file.read(2 ** 30 - 2, 100)), Buffer.from('\0\0end'));
  assert.equal((await file.read(2 ** 30 + 3, 1)).byteLength, 0);
  assert.ok((await stat(path)).blocks < 100);
});

test('beyond what fits is EFBIG, and nothing is written', async (t) => {
  const { file, made } = await emptyFile(t, 10);
  await assert.rejects(file.write(8, Buffer.from('abc')), { errno: 'EFBIG' });
  await assert.rejects(file.truncate(11), { errno: 'EFBIG' });
  assert.equal(made(), 0);
  await file.write(7, Buffer.from('abc'));
  assert.equal(file.size(), 10);
});

test('calls at a time take effect in their order', async () => {
  const call = fc.oneof(
    fc.record({
      kind: fc.constant('write' as const),
      at: fc.nat(60),
      bytes: fc.uint8Array({ maxLength: 20 }),
    }),
    fc.record({
      kind: fc.constant('truncate' as const),
      at: fc.nat(80),
      bytes: fc.constant(new Uint8Array(0)),
    }),
    fc.record({ kind: fc.constant('read' as const), at: fc.nat(80), bytes: fc.constant(new Uint8Array(0)) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(call, { maxLength: 15 }), async (calls) => {
      const file = new StateFile({ open: () => unnamedFile('/tmp'), size: 0, maxSize: 80 });
      let expected = Buffer.alloc(0);
      const reads: { read: Promise<Uint8Array>; is: Buffer }[] = [];
      const running: Promise<unknown>[] = [];
      for (const { kind, at, bytes } of calls) {
        if (kind === 'read') {
          reads.push({ read: file.read(at, 30), is: Buffer.from(expected.subarray(at, at + 30)) });
        } else if (kind === 'truncate') {
          running.push(file.truncate(at));
          expected = Buffer.concat([
            expected.subarray(0, at),
            Buffer.alloc(Math.max(0, at - expected.length)),
          ]);
        } else {
          running.push(file.write(at, bytes));
          if (bytes.length > 0) {
            const size = Math.max(expected.length, at + bytes.length);
            expected = Buffer.concat([expected, Buffer.alloc(size - expected.length)]);
            expected.set(bytes, at);
          }
        }
      }
      await Promise.all(running);
      for (const { read, is } of reads) assert.deepEqual(Buffer.from(await read), is);
      assert.equal(file.size(), expected.length);
      assert.deepEqual(Buffer.from(await file.read(0, 100)), expected);
      await file.close();
    }),
    { numRuns: 60 },
  );
});

test('a write that fails is told, leaves the size, and the next one tries again', async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  let failures = 1;
  const file = new StateFile({
    open: async () => {
      if (failures-- > 0) throw new MlfsError('ERR_MLFS_IO', 'no room', { errno: 'ENOSPC' });
      return diskMedium.open(path, 'create');
    },
    size: 0,
    maxSize: 100,
  });
  t.after(() => file.close());
  await assert.rejects(file.write(0, Buffer.from('abc')), { errno: 'ENOSPC' });
  assert.equal(file.size(), 0);
  await file.write(0, Buffer.from('abc'));
  assert.equal(file.size(), 3);
});

test('a closed file is EBADF', async (t) => {
  const { file } = await emptyFile(t);
  await file.write(0, Buffer.from('abc'));
  await file.close();
  await file.close();
  await assert.rejects(file.write(0, Buffer.from('abc')), { errno: 'EBADF' });
  await assert.rejects(file.read(0, 3), { errno: 'EBADF' });
});

test('an unnamed file leaves no name, wherever it has to be', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = await unnamedFile(join(directory, 'not', 'there', 'yet'));
  t.after(() => file.close());
  await file.write(5, [Buffer.from('abc')]);
  assert.deepEqual(await file.read(0, 8), Buffer.from('\0\0\0\0\0abc'));
  assert.deepEqual(await readdir(directory), []);
});
