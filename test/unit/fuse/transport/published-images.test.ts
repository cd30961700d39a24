import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PublishedImages } from '../../../../src/fuse/transport/published-images.ts';
import { Image, type ImageBase } from '../../../../src/storage/image.ts';
import type { MediumFile } from '../../../../src/storage/medium.ts';
import type { NativeSession } from '../../../../src/storage/native.ts';
import { CHUNK_BYTES } from '../../../../src/storage/overlay.ts';

/** A data plane that remembers: the files by index, and the pieces (start, end, file, offset) of each dirty chunk. */
function dataPlane() {
  const files = new Map<number, number>();
  const chunks = new Map<string, number[]>();
  let switches = 0;
  const native = {
    addFile(fd: number): number {
      let index = 0;
      while (files.has(index)) index++;
      files.set(index, fd);
      return index;
    },
    removeFile(index: number): void {
      const used = [...chunks].filter(
        ([key, pieces]) =>
          key.startsWith(`${index}:`) || pieces.some((value, at) => at % 4 === 2 && value === index),
      );
      assert.deepEqual(used, [], `file ${index} is removed and published`);
      assert.ok(files.delete(index));
    },
    switchOverlay(file: number, numbers: Float64Array): void {
      switches++;
      for (let at = 0; at < numbers.length; ) {
        const key = `${file}:${numbers[at]}`;
        const count = numbers[at + 1] ?? 0;
        const pieces = [...numbers.subarray(at + 2, at + 2 + 4 * count)];
        if (count > 0) chunks.set(key, pieces);
        else chunks.delete(key);
        at += 2 + 4 * count;
      }
    },
  };
  return {
    native: native as unknown as NativeSession,
    descriptors: () => [...files.values()].sort((a, b) => a - b),
    chunks,
    switches: () => switches,
  };
}

const imageOf = (fd: number) =>
  new Image({ path: `/model-${fd}.pt`, size: 8 * CHUNK_BYTES, fd } as unknown as ImageBase);
const segmentOf = (fd: number) => ({ path: `/journal/${fd}.log`, fd }) as unknown as MediumFile;

function edit(image: Image, start: number, length: number, file: MediumFile, segment: number): void {
  const chunks = new Set<number>();
  image.overlay.set(start, length, { file, fileOffset: 64, segment }, chunks);
  image.changed({ ranges: [{ start, end: start + length }], chunks });
}

function commit(image: Image, segment: number): void {
  const chunks = new Set<number>();
  image.overlay.dropThrough(segment, chunks);
  image.changed({ ranges: [], chunks });
}

test('what is dirty already is published with an image, and a change of several chunks in one switch', () => {
  const plane = dataPlane();
  const images = new PublishedImages(plane.native);
  const image = imageOf(10);
  edit(image, 5, 3, segmentOf(20), 1);
  const index = images.indexOf(image);
  assert.deepEqual([...plane.chunks.keys()], [`${index}:0`]);
  assert.equal(images.indexOf(image), index);
  const before = plane.switches();
  edit(image, CHUNK_BYTES - 2, 4, segmentOf(21), 2);
  assert.equal(plane.switches(), before + 1);
  assert.deepEqual(plane.descriptors(), [10, 20, 21]);
  const second = plane.chunks.get(`${index}:1`) ?? [];
  assert.deepEqual([second[0], second[1], second[3]], [CHUNK_BYTES, CHUNK_BYTES + 2, 66]);
});

test('ten thousand commits leave no journal segment behind', () => {
  const plane = dataPlane();
  const images = new PublishedImages(plane.native);
  const image = imageOf(10);
  images.hold(7, new Set([image].filter((one) => images.indexOf(one) >= 0)));
  for (let segment = 1; segment <= 10_000; segment++) {
    edit(image, CHUNK_BYTES - 1, 2, segmentOf(20), segment);
    commit(image, segment);
  }
  assert.deepEqual(plane.descriptors(), [10]);
  assert.equal(plane.chunks.size, 0);
});

test('a segment stays while one chunk of several has a piece in it', () => {
  const plane = dataPlane();
  const images = new PublishedImages(plane.native);
  const image = imageOf(10);
  images.indexOf(image);
  edit(image, CHUNK_BYTES - 2, 4, segmentOf(20), 1);
  edit(image, CHUNK_BYTES - 2, 2, segmentOf(21), 2);
  assert.deepEqual(plane.descriptors(), [10, 20, 21]);
  edit(image, CHUNK_BYTES, 2, segmentOf(21), 2);
  assert.ok(!plane.descriptors().includes(20));
});

test('an image that no published inode is made of any more is closed, with its segments, and heard no more', () => {
  const plane = dataPlane();
  const images = new PublishedImages(plane.native);
  const old = imageOf(10);
  const replacement = imageOf(11);
  const journal = segmentOf(20);
  edit(old, 0, 4, journal, 1);
  images.indexOf(old);
  images.hold(2, new Set([old]));
  images.hold(3, new Set([old]));
  images.hold(2, new Set());
  images.indexOf(replacement);
  assert.deepEqual(plane.descriptors(), [10, 11, 20]);
  images.hold(3, new Set([replacement]));
  assert.deepEqual(plane.descriptors(), [11]);
  edit(old, 9, 4, journal, 1);
  assert.deepEqual(plane.descriptors(), [11]);
  images.hold(9, new Set());
  images.indexOf(old);
  assert.deepEqual(plane.descriptors(), [10, 11, 20]);
});
