import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Checksums } from '../../../src/storage/checksums.ts';
import { followPieces } from '../../../src/storage/confined-edits.ts';
import { crc32 } from '../../../src/storage/crc32.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import type { Medium, MediumFile } from '../../../src/storage/medium.ts';
import { loadNative } from '../../../src/storage/native.ts';
import type { Piece } from '../../../src/storage/overlay.ts';
import { compareCrc32, copyPieces } from '../../../src/storage/piece-runs.ts';
import { SeededRandom } from '../../crash/seeded-random.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { FaultyMedium } from './journal/faulty-medium.ts';

const BASE_BYTES = 12 * 1024 * 1024 + 77;

/** The addon reaches the files of the first medium, and none of the second one. */
const WAYS: readonly (readonly [string, () => Medium])[] = [
  ['in native threads', () => diskMedium],
  ['with reads and writes', () => new FaultyMedium()],
];

/** A base, two files of journalled bytes, and ascending pieces of every length that matters to checksums and buffers. */
async function scene(t: TestContext, medium: Medium) {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'base');
  const base = randomBytes(BASE_BYTES);
  await writeFile(path, base);
  const segments = await Promise.all(
    [1, 2].map(async (number) => {
      const bytes = randomBytes(BASE_BYTES);
      await writeFile(join(folder, `${number}`), bytes);
      const file = await medium.open(join(folder, `${number}`), 'write');
      t.after(() => file.close());
      return { bytes, file };
    }),
  );
  const random = new SeededRandom(7);
  const lengths = [
    ...Array.from({ length: 200 }, (_, length) => length + 1),
    4096,
    2 ** 18,
    2 ** 18 + 1,
    2 ** 20,
  ];
  for (let count = 0; count < 1500; count++) lengths.push(1 + random.below(5000));
  const pieces: Piece[] = [];
  let at = 3;
  for (const length of lengths) {
    const segment = 1 + random.below(2);
    const { file } = segments[segment - 1] as (typeof segments)[0];
    pieces.push({
      start: at,
      end: at + length,
      file,
      fileOffset: random.below(BASE_BYTES - length),
      segment,
    });
    at += length + random.below(3);
  }
  assert.ok(at < BASE_BYTES);
  const journalled = ({ segment, fileOffset, start, end }: Piece) =>
    (segments[segment - 1] as (typeof segments)[0]).bytes.subarray(fileOffset, fileOffset + (end - start));
  return { folder, path, base, pieces, journalled };
}

test('the addon copies and compares, where it was built', () => {
  const addon = loadNative();
  assert.equal(typeof addon?.copyRuns, typeof addon?.crc32c);
  assert.equal(typeof addon?.crc32Differences, typeof addon?.crc32c);
});

/** The same file, whose bytes must not be asked for here. */
const onlyNatively = (file: MediumFile): MediumFile => {
  const never = async () => assert.fail('the bytes came into the JavaScript heap');
  return {
    path: file.path,
    fd: file.fd,
    descriptor: () => file.descriptor?.() as number,
    size: () => file.size(),
    read: never,
    write: never,
    truncate: (size) => file.truncate(size),
    sync: () => file.sync(),
    close: () => file.close(),
  };
};

test(
  'with the addon no byte comes into the JavaScript heap, and no call holds a thread for more than 9 MiB',
  requires('addon'),
  async (t) => {
    const { path, base, pieces, journalled } = await scene(t, diskMedium);
    const file = await diskMedium.open(path, 'write');
    t.after(() => file.close());
    const files = new Map(pieces.map((piece) => [piece.file, onlyNatively(piece.file)]));
    const there = pieces.map((piece) => ({ ...piece, file: files.get(piece.file) as MediumFile }));
    let differences = 0;
    const compared = there.map((piece, group) => ({ ...piece, group }));
    await compareCrc32({ fd: file.fd, read: onlyNatively(file).read }, compared, () => {
      differences++;
    });
    assert.equal(differences, pieces.length);
    const steps: number[] = [];
    await copyPieces(onlyNatively(file), there, (bytes) => steps.push(bytes));
    assert.ok(steps.length > 1 && Math.max(...steps) <= 9 * 2 ** 20, `${steps}`);
    for (const piece of pieces) base.set(journalled(piece), piece.start);
    assert.ok((await readFile(path)).equals(base));
  },
);

for (const [how, medium] of WAYS) {
  test(`pieces are copied to their places and nothing else changes, ${how}`, async (t) => {
    const { path, base, pieces, journalled } = await scene(t, medium());
    const file = await medium().open(path, 'write');
    let copied = 0;
    await copyPieces(file, pieces, (bytes) => {
      copied += bytes;
    });
    await file.close();
    for (const piece of pieces) base.set(journalled(piece), piece.start);
    assert.ok((await readFile(path)).equals(base));
    assert.equal(
      copied,
      pieces.reduce((sum, { start, end }) => sum + (end - start), 0),
    );
  });

  test(`pieces differ from the base by the difference of both checksums, ${how}`, async (t) => {
    const { path, base, pieces, journalled } = await scene(t, medium());
    const source = await FileSource.open(path);
    t.after(() => source.close());
    const differences = new Map<number, number>();
    const compared = pieces.map((piece, group) => ({ ...piece, group }));
    await compareCrc32(source, compared, ({ start }, difference) => differences.set(start, difference));
    assert.equal(differences.size, pieces.length);
    for (const piece of pieces) {
      const wanted = crc32(base.subarray(piece.start, piece.end)) ^ crc32(journalled(piece));
      assert.equal(differences.get(piece.start), wanted >>> 0, `${piece.start} to ${piece.end}`);
    }
  });

  test(`pieces of several entries, one in another, change the checksums of all that hold them, ${how}`, async (t) => {
    const { path, base, pieces, journalled } = await scene(t, medium());
    const source = await FileSource.open(path);
    t.after(() => source.close());
    // Every tenth piece begins an entry; those of the first half lie in an archive, which begins in the middle of the entry before.
    const entries: { offset: number; length: number }[] = [];
    for (let first = 0; first < pieces.length; first += 10) {
      const offset = (pieces[first] as Piece).start;
      entries.push({
        offset,
        length: (pieces[Math.min(first + 7, pieces.length - 1)] as Piece).end + 1 - offset,
      });
    }
    const middle = entries[Math.floor(entries.length / 2)] as { offset: number };
    const outer = { offset: 1, length: middle.offset - 2 };
    const after = Buffer.from(base);
    const edited = pieces.filter((_, index) => index % 10 < 8);
    for (const piece of edited) after.set(journalled(piece), piece.start);
    const crcOf = (bytes: Buffer, { offset, length }: { offset: number; length: number }) =>
      crc32(bytes.subarray(offset, offset + length));
    const ranges = [outer, ...entries];
    const checksums = new Checksums(
      ranges.map((range, index) => ({
        ...range,
        crc32: crcOf(base, range),
        fields: [BASE_BYTES + 4 * index],
      })),
    );
    await followPieces(edited, source, checksums);
    for (const [index, range] of ranges.entries()) {
      const patch = checksums.patchAt(BASE_BYTES + 4 * index);
      assert.equal(patch?.readUInt32LE() ?? crcOf(base, range), crcOf(after, range), `range ${index}`);
    }
  });

  test(`a segment that has become shorter is named, ${how}`, async (t) => {
    const { folder, path, pieces } = await scene(t, medium());
    await truncate(join(folder, '2'), 1000);
    const file = await medium().open(path, 'write');
    t.after(() => file.close());
    await assert.rejects(
      copyPieces(file, pieces, () => undefined),
      { code: 'ERR_MLFS_TRUNCATED', message: /^\S+\/2: bytes / },
    );
  });

  test(`a file that was closed is not written to, ${how}`, async (t) => {
    const { path, base, pieces } = await scene(t, medium());
    const file = await medium().open(path, 'write');
    await file.close();
    await assert.rejects(
      copyPieces(file, pieces, () => undefined),
      { code: 'ERR_MLFS_IO', message: /the file was closed/ },
    );
    assert.ok((await readFile(path)).equals(base));
  });
}
