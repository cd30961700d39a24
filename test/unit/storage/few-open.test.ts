import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FewOpen } from '../../../src/storage/few-open.ts';
import type { MediumFile } from '../../../src/storage/medium.ts';
import { StateFile } from '../../../src/storage/state-file.ts';

/** Files in memory that count how many of them are open. */
function disk() {
  const bytes = new Map<string, Buffer>();
  const counts = { open: 0, most: 0, syncs: 0 };
  const opened: string[] = [];
  const open = async (name: string, again: boolean): Promise<MediumFile> => {
    opened.push(`${name}${again ? ' again' : ''}`);
    assert.equal(bytes.has(name), again, name);
    if (!again) bytes.set(name, Buffer.alloc(0));
    counts.most = Math.max(counts.most, ++counts.open);
    const content = () => bytes.get(name) as Buffer;
    return {
      path: name,
      fd: undefined,
      size: async () => content().length,
      read: async (offset, length) => content().subarray(offset, offset + length),
      write: async (offset, pieces) => {
        const next = Buffer.alloc(Math.max(content().length, offset + (pieces[0]?.byteLength ?? 0)));
        content().copy(next);
        next.set(pieces[0] as Uint8Array, offset);
        bytes.set(name, next);
      },
      truncate: async (size) => void bytes.set(name, content().subarray(0, size)),
      sync: async () => void counts.syncs++,
      close: async () => void counts.open--,
    };
  };
  return { open, counts, opened, bytes };
}

test('any number of files is in use while few are open, and each keeps its bytes', async () => {
  const { open, counts } = disk();
  const few = new FewOpen(4);
  const files = Array.from(
    { length: 50 },
    (_, index) =>
      new StateFile({ open: (again) => open(`f${index}`, again), size: 0, maxSize: 1000, fewOpen: few }),
  );
  for (let round = 0; round < 3; round++) {
    await Promise.all(files.map((file, index) => file.write(round * 4, Buffer.from(`${index}`.padEnd(4)))));
  }
  for (const [index, file] of files.entries()) {
    const expected = `${index}`.padEnd(4).repeat(3);
    assert.equal(Buffer.from(await file.read(0, 100)).toString(), expected);
  }
  assert.equal(counts.open, 4);
  for (const file of files) await file.close();
  assert.equal(counts.open, 0);
});

test('a file that let go of its descriptor is opened again for a sync, and not when it was never open', async () => {
  const { open, counts, opened } = disk();
  const few = new FewOpen(1);
  const [first, second, third] = ['a', 'b', 'c'].map(
    (name) => new StateFile({ open: (again) => open(name, again), size: 0, maxSize: 1000, fewOpen: few }),
  ) as [StateFile, StateFile, StateFile];
  await first.write(0, Buffer.from('1'));
  await second.write(0, Buffer.from('2'));
  await first.sync();
  await third.sync();
  assert.deepEqual([counts.syncs, opened], [1, ['a', 'b', 'a again']]);
});
