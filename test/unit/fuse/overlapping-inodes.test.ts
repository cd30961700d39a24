import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OverlappingInodes } from '../../../src/fuse/overlapping-inodes.ts';
import type { FileInode, FileRange } from '../../../src/inode.ts';
import type { Content } from '../../../src/storage/content.ts';
import type { Extent } from '../../../src/storage/extent.ts';
import type { Image } from '../../../src/storage/image.ts';

const IMAGE = {} as Image;
const WHOLE = [{ offset: 0, length: 0 }];
const MiB = 2 ** 20;

function file(nodeid: number, content: Content): FileInode {
  return { kind: 'file', nodeid, mode: 0o644, mtimeMs: 0, nlink: 1, content };
}

function extents(...runs: readonly (readonly [offset: number, length: number] | number | string)[]): Content {
  const list = runs.map((run): Extent => {
    if (typeof run === 'string') return { kind: 'inline', bytes: Buffer.from(run) };
    if (typeof run === 'number')
      return { kind: 'computed', length: run, read: async () => Buffer.alloc(run) };
    return { kind: 'image', image: IMAGE, offset: run[0], length: run[1] };
  });
  return { kind: 'extents', size: 0, extents: list };
}

function found(index: OverlappingInodes, ...ranges: readonly (readonly [number, number])[]) {
  const all = index.overlapping(
    IMAGE,
    ranges.map(([start, end]) => ({ start, end })),
  );
  return new Map(Array.from(all, ({ inode, ranges: where }) => [inode.nodeid, where] as const));
}

test('a range of the image is a range of each file that shows it', () => {
  const index = new OverlappingInodes();
  index.add(file(1, extents([1000, 500])));
  index.add(file(2, extents('header', [1200, 1000])));
  index.add(file(3, extents([5000, 500])));
  assert.deepEqual(
    found(index, [1100, 1300]),
    new Map([
      [1, [{ offset: 100, length: 200 }]],
      [2, [{ offset: 6, length: 100 }]],
    ]),
  );
  assert.deepEqual(found(index, [1500, 1600]).size, 1, 'the end of a run is not in it');
  assert.deepEqual(found(index, [0, 1000]).size, 0);
  index.remove(2);
  assert.deepEqual([...found(index, [1100, 1300]).keys()], [1]);
  assert.equal(index.has(2), false);
});

test('what is rendered is wrong as a whole', () => {
  const index = new OverlappingInodes();
  const origin = { image: IMAGE, offset: 100, length: 100 };
  index.add(file(1, { kind: 'rendered', size: 7, read: async () => Buffer.alloc(0), origin }));
  assert.deepEqual(found(index, [150, 151]).get(1), WHOLE);
  assert.equal(found(index, [200, 300]).size, 0);
});

test('checksums of a file follow any of its bytes', () => {
  const index = new OverlappingInodes();
  index.add(file(1, extents([0, 10 * MiB], 4, [10 * MiB + 4, 100], 4)));
  assert.deepEqual(found(index, [5, 6]).get(1), [
    { offset: 5, length: 1 },
    { offset: 10 * MiB, length: 108 },
  ]);
});

test('changes far apart stay apart, changes close together are one, and very many are the whole file', () => {
  const index = new OverlappingInodes();
  index.add(file(1, extents([0, 1000 * MiB])));
  assert.equal(found(index, [0, 1], [5, 6], [100 * MiB, 100 * MiB + 1]).get(1)?.length, 2);
  const many = Array.from({ length: 100 }, (_, nth) => [nth * 5 * MiB, nth * 5 * MiB + 1] as const);
  assert.deepEqual(found(index, ...many).get(1), WHOLE);
});

test('files of every width are found by ranges of every width, and by no others', () => {
  const place = fc.integer({ min: 0, max: 40 }).map((power) => Math.floor(1.9 ** power));
  const run = fc.tuple(place, place).map(([offset, length]) => [offset, length] as const);
  fc.assert(
    fc.property(
      fc.array(fc.array(run, { minLength: 1, maxLength: 4 }), { maxLength: 12 }),
      run,
      (files, asked) => {
        const index = new OverlappingInodes();
        for (const [nodeid, runs] of files.entries()) index.add(file(nodeid, extents(...runs)));
        const [start, end] = [asked[0], asked[0] + asked[1]];
        const expected = files.flatMap((runs, nodeid) =>
          runs.some(([offset, length]) => offset < end && start < offset + length) ? [nodeid] : [],
        );
        assert.deepEqual(
          [...found(index, [start, end]).keys()].sort((a, b) => a - b),
          expected,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test('a write is looked up among 20,000 files and an export of as many extents without visiting them all', () => {
  const index = new OverlappingInodes();
  const runs = Array.from({ length: 20_000 }, (_, nth) => [nth * 40_000, 39_000] as const);
  let looked = 0;
  runs.forEach((run, nodeid) => {
    const inode = file(nodeid, extents(run));
    index.add(inode);
  });
  index.add(file(20_000, extents(...runs.flatMap((run) => [run, '#'] as const))));
  for (let nth = 0; nth < 1000; nth++) {
    const at = (nth * 7919) % (20_000 * 40_000);
    const where = found(index, [at, at + 4096]);
    looked += where.size;
    for (const ranges of where.values()) assert.ok((ranges as FileRange[]).length === 1);
  }
  assert.ok(looked >= 2000 && looked <= 3000, `${looked}`);
});

test('a file with checksums far apart is dropped as a whole, also when what changed lies at its beginning', () => {
  const index = new OverlappingInodes();
  const runs = Array.from({ length: 70 }, (_unused, at) => [[at * 2 * MiB, 2 * MiB] as const, 4]).flat();
  index.add(file(1, extents(...runs)));
  assert.deepEqual(found(index, [100, 200]), new Map([[1, WHOLE]]));
});
