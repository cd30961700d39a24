import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FixedContent } from '../../../src/storage/content.ts';
import type { Image, ImageUpdate } from '../../../src/storage/image.ts';
import { writeWhole } from '../../../src/storage/write-whole.ts';

const MiB = 1024 * 1024;
const UPDATE: ImageUpdate = { read: async () => Buffer.alloc(0), write: async () => undefined };

/** A content that notes what is written into it, and at which turn of the event loop. */
function noting(kind: 'extents' | 'rendered', size: number, written: string[]): FixedContent {
  let turn = 0;
  const count = setImmediate(function next() {
    turn++;
    if (written.length < Math.ceil(size / MiB)) setImmediate(next).unref();
  });
  count.unref();
  const writer = {
    image: {} as Image,
    write: async (_update: ImageUpdate, offset: number, bytes: Uint8Array) => {
      written.push(`${offset / MiB}+${bytes.byteLength / MiB} at ${turn}`);
    },
  };
  return kind === 'extents'
    ? { kind, size, extents: [], writer }
    : { kind, size, read: async () => Buffer.alloc(0), writer };
}

test('bytes that lie somewhere are written in slices of 1 MiB, and the event loop turns between them', async () => {
  const written: string[] = [];
  await writeWhole(noting('extents', 2.5 * MiB, written), UPDATE, (_, length) => Buffer.alloc(length));
  assert.deepEqual(written, ['0+1 at 0', '1+1 at 1', '2+0.5 at 2']);
});

test('what is gathered is written in few slices: each goes through the whole storage', async () => {
  const written: string[] = [];
  await writeWhole(noting('rendered', 20 * MiB, written), UPDATE, (_, length) => Buffer.alloc(length));
  assert.deepEqual(written, ['0+8 at 0', '8+8 at 1', '16+4 at 2']);
});

test('bytes that cannot be read end it', async () => {
  const written: string[] = [];
  const read = (offset: number, length: number) => {
    if (offset > 0) throw new Error('no more');
    return Buffer.alloc(length);
  };
  await assert.rejects(writeWhole(noting('extents', 3 * MiB, written), UPDATE, read), /no more/);
  assert.equal(written.length, 1);
});
