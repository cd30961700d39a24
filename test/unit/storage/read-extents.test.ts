import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../../../src/storage/extent.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { readExtents } from '../../../src/storage/read-extents.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('any range of any list of extents is the same range of their concatenation', async () => {
  const file = fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(file, fc.nat(240), fc.nat(240), async (pieces, from, wanted) => {
      const whole = Buffer.concat(pieces);
      const offset = Math.min(from, whole.length);
      const length = Math.min(wanted, whole.length - offset);
      const extents = pieces.map((bytes): Extent => ({ kind: 'inline', bytes }));
      const read = await readExtents(extents, offset, length);
      assert.deepEqual(Buffer.from(read), whole.subarray(offset, offset + length));
    }),
  );
});

test('image extents are read at 64-bit offsets', async (t) => {
  const path = join(await temporaryDirectory(t), 'sparse');
  const far = 2 ** 40 + 5;
  const handle = await open(path, 'w');
  await handle.write(Buffer.from('far away'), 0, 8, far);
  await handle.close();
  const source = await FileSource.open(path);
  t.after(() => source.close());
  const image = new Image(source);
  const extents: Extent[] = [
    { kind: 'inline', bytes: Buffer.from('head') },
    { kind: 'image', image, offset: 2 ** 32 + 3, length: far + 8 - (2 ** 32 + 3) },
  ];
  const read = await readExtents(extents, 4 + far - (2 ** 32 + 3), 8);
  assert.equal(Buffer.from(read).toString(), 'far away');
});

test('a range outside the extents throws instead of coming up short', async () => {
  await assert.rejects(() => readExtents([{ kind: 'inline', bytes: Buffer.alloc(4) }], 2, 3), RangeError);
});
