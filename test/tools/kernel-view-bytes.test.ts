import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadNative, type NativeAddon } from '../../src/storage/native.ts';
import { requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { imageOf, type Range } from '../unit/kernel-view/images.ts';

/** The images as the kernel shows them: attached by the addon, without a mount of MLFS. */
const view = requires('addon', 'root', 'kernel view', 'python3');

const addon = () => loadNative() as NativeAddon;

async function viewOf(
  path: string,
  ranges: readonly Range[],
): Promise<{ path(id: number): string; close(): void }> {
  const file = openSync(path, 'r');
  const { size } = statSync(path);
  const { bytes, copies, begins } = imageOf(ranges, size);
  const root = await addon().mountView(file, size, bytes, copies, begins);
  closeSync(file);
  return {
    path: (id) => `/proc/self/fd/${root}/${id.toString(16).padStart(8, '0')}`,
    close: () => closeSync(root),
  };
}

test('every distance from the end of the file, within two pages, reads right', view, async (t) => {
  const folder = await temporaryDirectory(t);
  for (const fileBytes of [4096 * 24, 4096 * 24 + 511, 4096 * 23 + 513]) {
    const path = join(folder, `file-${fileBytes}`);
    const file = randomBytes(fileBytes);
    writeFileSync(path, file);
    // One device for each residue: ranges of 40 residues a time, each distance with two lengths.
    for (let residue = 0; residue < 512; residue += 101) {
      const ranges: Range[] = [];
      for (let distance = 0; distance <= 2 * 4096; distance++) {
        for (const [lead, extra] of [
          [0, 0],
          [4, 1],
          [9, 0],
        ] as const) {
          const offset = lead * 512 + residue;
          const length = fileBytes - distance - offset - extra;
          if (distance % 16 === (residue + lead) % 16) ranges.push([ranges.length + 2, offset, length]);
        }
      }
      const attached = await viewOf(path, ranges);
      try {
        for (const [id, offset, length] of ranges) {
          const read = readFileSync(attached.path(id));
          assert.equal(read.length, length);
          assert.ok(
            read.equals(file.subarray(offset, offset + length)),
            `${fileBytes}: ${offset} + ${length}`,
          );
        }
      } finally {
        attached.close();
      }
    }
  }
});

test('every residue, and short and odd lengths, read right', view, async (t) => {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'file');
  const file = randomBytes(300_000);
  writeFileSync(path, file);
  for (let first = 0; first < 512; first += 64) {
    const ranges: Range[] = [];
    for (let residue = first; residue < first + 64; residue++) {
      for (const length of [1, 2, 511, 512, 513, 4095, 4096, 4097, 100_001]) {
        ranges.push([ranges.length + 2, 512 * (length % 97) + residue, length]);
      }
    }
    const attached = await viewOf(path, ranges);
    try {
      for (const [id, offset, length] of ranges) {
        assert.ok(
          readFileSync(attached.path(id)).equals(file.subarray(offset, offset + length)),
          `${offset} + ${length}`,
        );
      }
    } finally {
      attached.close();
    }
  }
});

test('direct reads get the same bytes, also at the end of the file', view, async (t) => {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'file');
  const file = randomBytes(4096 * 40 + 77);
  writeFileSync(path, file);
  const ranges: Range[] = [
    [2, 64, 4096 * 8],
    [3, 128, file.length - 128],
    [4, 64 * 5, 12_345],
  ];
  const attached = await viewOf(path, ranges);
  try {
    for (const [id, offset, length] of ranges) {
      const read = execFileSync(
        'python3',
        ['-c', DIRECT, attached.path(id).replace('self', String(process.pid))],
        {
          maxBuffer: 2 ** 20,
        },
      );
      assert.ok(read.equals(file.subarray(offset, offset + length)), `${id}: ${read.length}`);
    }
  } finally {
    attached.close();
  }
});

/** Reads a file with O_DIRECT into whole pages, and writes it to standard output. */
const DIRECT = `
import mmap, os, sys
f, page = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 65536)
at = 0
while True:
    got = os.preadv(f, [page], at)
    sys.stdout.buffer.write(page[:got])
    at += got
    if got < 65536: break
`;

test('ranges beyond 1 TiB and 2 TiB, and one that is longer than 2 TiB, read right', view, async (t) => {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'file');
  const TIB = 2 ** 40;
  const fileBytes = 5 * TIB + 12_345;
  const handle = await open(path, 'w+');
  t.after(() => handle.close());
  await handle.truncate(fileBytes);
  const places = [
    TIB - 2048,
    TIB + 4096 * 5 + 64,
    2 * TIB - 100,
    3 * TIB + 8,
    4 * TIB - 4096,
    fileBytes - 5000,
  ];
  const marks = places.map(() => randomBytes(5000));
  for (const [index, place] of places.entries()) await handle.write(marks[index] as Buffer, 0, 5000, place);
  const ranges: Range[] = [
    [2, TIB + 4096 * 5 + 64, 5000],
    [3, 3 * TIB + 8, 5000],
    [4, 64, fileBytes - 64],
    [5, TIB - 2048, 3 * TIB],
    [6, 2 * TIB - 100, 5000],
  ];
  const attached = await viewOf(path, ranges);
  try {
    for (const [id, offset, length] of ranges) {
      const file = openSync(attached.path(id), 'r');
      try {
        for (const [index, place] of places.entries()) {
          if (place < offset || place + 5000 > offset + length) continue;
          const read = Buffer.alloc(5000);
          assert.equal(readSync(file, read, 0, 5000, place - offset), 5000);
          assert.ok(read.equals(marks[index] as Buffer), `${id}: ${place}`);
        }
        assert.equal(readSync(file, Buffer.alloc(10), 0, 10, length - 3), 3);
      } finally {
        closeSync(file);
      }
    }
  } finally {
    attached.close();
  }
});

test('a range that crosses a TiB on its way to the end of the file reads right', view, async (t) => {
  const path = join(await temporaryDirectory(t), 'file');
  const TIB = 2 ** 40;
  const fileBytes = TIB + 8 * 2 ** 30 + 100;
  const handle = await open(path, 'w+');
  t.after(() => handle.close());
  await handle.truncate(fileBytes);
  const marks = new Map(
    [TIB - 2 ** 29, TIB - 3000, TIB + 2 ** 32, fileBytes - 2 ** 20, fileBytes - 5000].map((place) => [
      place,
      randomBytes(5000),
    ]),
  );
  for (const [place, mark] of marks) await handle.write(mark, 0, 5000, place);
  const offset = TIB - 2 ** 30 + 64;
  const attached = await viewOf(path, [[2, offset, fileBytes - offset]]);
  const file = openSync(attached.path(2), 'r');
  try {
    for (const [place, mark] of marks) {
      const read = Buffer.alloc(5000);
      assert.equal(readSync(file, read, 0, 5000, place - offset), 5000);
      assert.ok(read.equals(mark), String(place));
    }
  } finally {
    closeSync(file);
    attached.close();
  }
});

test('a file that is a few bytes longer than a TiB reads right to its end', view, async (t) => {
  const folder = await temporaryDirectory(t);
  const TIB = 2 ** 40;
  const offset = 64;
  for (const beyond of [1, 10, 511, 513, 4095, 4097, 9000]) {
    const path = join(folder, 'file');
    const fileBytes = offset + TIB + beyond;
    const handle = await open(path, 'w+');
    await handle.truncate(fileBytes);
    const mark = randomBytes(20_000);
    await handle.write(mark, 0, mark.length, fileBytes - mark.length);
    await handle.close();
    const attached = await viewOf(path, [[2, offset, fileBytes - offset]]);
    const file = openSync(attached.path(2), 'r');
    try {
      const read = Buffer.alloc(mark.length + 1);
      assert.equal(readSync(file, read, 0, read.length, TIB + beyond - mark.length), mark.length);
      assert.ok(read.subarray(0, mark.length).equals(mark), String(beyond));
    } finally {
      closeSync(file);
      attached.close();
    }
  }
});
