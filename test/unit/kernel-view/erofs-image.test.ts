import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ErofsImage, erofsImage } from '../../../src/kernel-view/erofs-image.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { bytesWithCopies, extracted, fileRanges, imageOf, type Range, UTILS_BLOCK_BITS } from './images.ts';

const hex = (bytes: Uint8Array, at: number, length: number) =>
  Buffer.from(bytes.subarray(at, at + length)).toString('hex');

test('the bytes of a small image are the ones that were checked with dump.erofs and by the kernel', () => {
  const { bytes, begins, copies } = imageOf(
    [
      [0x2a, 64, 1000],
      [0x12b, 1088, 4096],
    ],
    100_000,
  );
  assert.deepEqual([...begins], [64]);
  assert.deepEqual([...copies], []);
  assert.equal(
    hex(bytes, 1024, 128),
    [
      'e2e1f5e0' + '00000000' + '00000000' + '09' + '00' + '0000', // magic, 512-byte blocks, the root is nid 0
      '0300000000000000' + '0000000000000000' + '00000000', // three inodes
      '08000000' + '03000000' + '00000000', // eight blocks, metadata in the third
      '00'.repeat(32), // no UUID and no name
      '0c000000' + '0000' + '0100' + '0900', // chunked files, a device table at 9 × 128
      '00'.repeat(38),
    ].join(''),
  );
  assert.equal(hex(bytes, 1152 + 64, 8), 'c300000000000000', '(100,000 - 64) / 512 whole blocks');
  const metadata = 3 * 512;
  assert.equal(
    hex(bytes, metadata, 24),
    '0100' + '0000' + '6d41' + '0000' + '4300000000000000' + '04000000' + '01000000',
  );
  assert.equal(
    hex(bytes, metadata + 64, 40),
    '0800' +
      '0000' +
      '2481' +
      '0100' +
      'e8030000' +
      '00000000' +
      '2100' +
      '0000' +
      '02000000' +
      '00'.repeat(8) +
      '0000010000000000',
    'a compact inode of 1,000 bytes in one chunk of two blocks, at block 0 of device 1',
  );
  assert.equal(hex(bytes, metadata + 128 + 32, 8), '0000010002000000', 'the other begins at block 2');
  assert.equal(
    hex(bytes, 4 * 512, 67),
    [
      '0000000000000000' + '3000' + '0200', // .
      '0000000000000000' + '3100' + '0200', // ..
      '0200000000000000' + '3300' + '0100',
      '0400000000000000' + '3b00' + '0100',
      Buffer.from('...0000002a0000012b').toString('hex'),
    ].join(''),
  );
});

test(
  'fsck.erofs finds nothing wrong, and extracts the bytes of every range at any distance from the end',
  requires('fsck.erofs'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    for (const fileBytes of [70_000, 4096 * 20, 4096 * 20 + 511, 4096 * 20 + 1]) {
      const file = randomBytes(fileBytes);
      const ranges: Range[] = [];
      let nodeid = 2;
      for (let distance = 0; distance <= 2 * 4096 + 64; distance += 61) {
        for (const length of [1, 512, 5000, 12_345]) {
          const offset = fileBytes - distance - length;
          if (ranges.length % 4 < 3 || offset % 64 === 0) ranges.push([nodeid++, offset, length]);
        }
      }
      // fsck.erofs takes 256 devices at most; a range a residue is enough here.
      const few = ranges.slice(0, 200);
      const files = extracted(
        imageOf(few, fileBytes, UTILS_BLOCK_BITS),
        file,
        join(folder, String(fileBytes)),
      );
      for (const [id, offset, length] of few) {
        const name = id.toString(16).padStart(8, '0');
        assert.ok(
          files.get(name)?.equals(file.subarray(offset, offset + length)),
          `${fileBytes}: ${offset} + ${length}`,
        );
      }
      assert.equal(files.size, few.length);
    }
  },
);

test(
  'a folder of many blocks holds every file, in the order of the nodeids',
  requires('fsck.erofs'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const file = randomBytes(64 * 1024);
    for (const count of [202, 203, 407, 1000]) {
      const ranges = Array.from({ length: count }, (_, i): Range => [i * 3 + 2, 64 * (i % 7), 100 + i]);
      const files = extracted(
        imageOf(ranges, file.length, UTILS_BLOCK_BITS),
        file,
        join(folder, String(count)),
      );
      assert.equal(files.size, count);
      assert.equal(files.get((3 * 77 + 2).toString(16).padStart(8, '0'))?.length, 177);
    }
  },
);

test('a range beyond 2 TiB lies on a device that begins at a whole TiB, and a longer one than that on several', () => {
  const TIB = 2 ** 40;
  const fileBytes = 6 * TIB;
  const { bytes, begins } = imageOf(
    [
      [2, 3 * TIB + 1000 * 512 + 8, 4096],
      [3, TIB + 512 * 3 + 8, 2 * TIB + 4096],
    ],
    fileBytes,
  );
  assert.deepEqual([...begins], [TIB + 8, 2 * TIB + 8, 3 * TIB + 8]);
  const view = new DataView(bytes.buffer);
  const area = view.getUint32(1024 + 40, true) * 512;
  assert.deepEqual([view.getUint16(area + 64 + 34, true), view.getUint32(area + 64 + 36, true)], [3, 1000]);
  const large = area + 128;
  assert.equal(view.getUint16(large, true), 9, 'an extended inode');
  assert.equal(view.getBigUint64(large + 8, true), BigInt(2 * TIB + 4096));
  assert.equal(view.getUint16(large + 16, true), 0x20 | 31, 'chunks of 2^31 blocks');
  const indexes = [0, 1, 2].map((chunk) => [
    view.getUint16(large + 64 + 8 * chunk + 2, true),
    view.getUint32(large + 64 + 8 * chunk + 4, true),
  ]);
  assert.deepEqual(indexes, [
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
});

/** (device, block) of the chunks of the image's only file. */
function chunksOf({ bytes }: ErofsImage, length: number): [number, number][] {
  const view = new DataView(bytes.buffer);
  const inode = view.getUint32(1024 + 40, true) * 512 + 64;
  const chunkBytes = 2 ** ((view.getUint16(inode + 16, true) & 31) + 9);
  const first = inode + (length < 2 ** 32 ? 32 : 64);
  return Array.from({ length: Math.ceil(length / chunkBytes) }, (_, chunk) => [
    view.getUint16(first + 8 * chunk + 2, true),
    view.getUint32(first + 8 * chunk + 4, true),
  ]);
}

test('a file that reaches the end copies only its end, and its indexes and copy grow with the square root of its length', () => {
  for (const length of [2 ** 20 + 1, 2 ** 30 - 7, 8 * 2 ** 30 + 512, 642 * 2 ** 30 + 4095, 2 ** 44 - 4097]) {
    const image = imageOf([[2, 4096, length]], length + 4096);
    const { bytes, copies, begins } = image;
    assert.ok(begins.length <= 16);
    assert.equal(copies.length, 3);
    const [to, from, copied] = copies as unknown as [number, number, number];
    assert.equal(from + copied, length + 4096);
    assert.equal(to, bytes.length, 'the copy is not in the bytes');
    const most = Math.max(6 * Math.sqrt(length), 72 * 1024) + 3 * 4096;
    assert.ok(bytesWithCopies(image) < most, `${length}: ${bytesWithCopies(image)} of ${most}`);
  }
});

test('a file that reaches the end and crosses a TiB keeps its device for a TiB of its own bytes', () => {
  const TIB = 2 ** 40;
  const offset = TIB - 2 ** 30 + 64;
  const length = 9 * 2 ** 30 + 36;
  const image = imageOf([[2, offset, length]], offset + length);
  assert.deepEqual([...image.begins], [64]);
  const chunks = chunksOf(image, length);
  const [, from] = image.copies as unknown as [number, number];
  const whole = chunks.filter(([device]) => device === 1);
  assert.equal(whole.length, chunks.length - 1, 'all but the copied one');
  const chunkBlocks = (from - offset) / 512 / whole.length;
  assert.deepEqual(
    whole,
    whole.map((_, chunk) => [1, (offset - 64) / 512 + chunk * chunkBlocks]),
  );
});

test('an image of millions of chunks is built in parts of some thousand', () => {
  const length = 2 ** 44 - 4097;
  let yields = 0;
  for (const _ of erofsImage(fileRanges([[2, 4096, length]]), length + 4096)) yields++;
  const chunks = chunksOf(imageOf([[2, 4096, length]], length + 4096), length).length;
  assert.ok(chunks > 500_000);
  assert.ok(yields >= chunks / 8192, `${yields} for ${chunks}`);
});
