import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CheckedRange } from '../../../src/storage/checked-ranges.ts';
import { Checksums } from '../../../src/storage/checksums.ts';
import { crc32 } from '../../../src/storage/crc32.ts';

/** A file of 400 bytes: two plain entries, and one that is an archive with two entries and its own directory. */
const LAYOUT = [
  { offset: 0, length: 50, fields: [300, 52] },
  { offset: 60, length: 40, fields: [304] },
  { offset: 120, length: 100, fields: [308, 222] },
  { offset: 125, length: 30, fields: [200] },
  { offset: 160, length: 20, fields: [204] },
];
/** Where changes may be made: in entries, but not where checksums are written. */
const EDITABLE = [
  [0, 50],
  [60, 100],
  [125, 155],
  [160, 180],
] as const;

function ranges(file: Buffer): CheckedRange[] {
  // From the inside out, so that the outer archive's checksum counts the inner ones that are written.
  const made: CheckedRange[] = [];
  for (const { offset, length, fields } of LAYOUT.toReversed()) {
    const crc = crc32(file.subarray(offset, offset + length));
    for (const field of fields) file.writeUInt32LE(crc, field);
    made.push({ offset, length, crc32: crc, fields });
  }
  return made;
}

function assertRight(file: Buffer): void {
  for (const { offset, length, fields } of LAYOUT) {
    const crc = crc32(file.subarray(offset, offset + length));
    for (const field of fields) assert.equal(file.readUInt32LE(field), crc, `the field at ${field}`);
  }
}

const edits = fc.array(
  fc.record({
    zone: fc.constantFrom(...EDITABLE),
    from: fc.nat(100),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  }),
  { maxLength: 12 },
);

type Edit = { zone: readonly [number, number]; from: number; bytes: Uint8Array };

function apply(file: Buffer, checksums: Checksums, { zone: [start, end], from, bytes }: Edit): void {
  const offset = start + (from % (end - start));
  const after = bytes.subarray(0, end - offset);
  const changes = new Map<number, number>();
  checksums.change(changes, offset, Buffer.from(file.subarray(offset, offset + after.length)), after);
  file.set(after, offset);
  checksums.apply(changes);
}

function patched(file: Buffer, checksums: Checksums): Buffer {
  const copy = Buffer.from(file);
  for (const { offset, bytes } of checksums.patches()) copy.set(bytes, offset);
  return copy;
}

test('after any edits the patches make every checksum right, in archives inside archives too', () => {
  fc.assert(
    fc.property(edits, (all) => {
      const file = Buffer.alloc(400, 3);
      const checksums = new Checksums(ranges(file));
      for (const edit of all) apply(file, checksums, edit);
      assertRight(patched(file, checksums));
    }),
  );
});

test('edits between the mark and the settling of a commit belong to the next one', () => {
  fc.assert(
    fc.property(edits, edits, edits, (before, during, after) => {
      const file = Buffer.alloc(400, 3);
      const checksums = new Checksums(ranges(file));
      for (const edit of before) apply(file, checksums, edit);
      const mark = checksums.mark();
      for (const edit of during) apply(file, checksums, edit);
      for (const { offset, bytes } of mark.patches) file.set(bytes, offset);
      checksums.settle(mark);
      assertRight(patched(file, checksums));
      for (const edit of after) apply(file, checksums, edit);
      assertRight(patched(file, checksums));
    }),
  );
});

test('what was undone needs no patch', () => {
  const file = Buffer.alloc(400, 3);
  const checksums = new Checksums(ranges(file));
  const zone = [0, 50] as const;
  apply(file, checksums, { zone, from: 3, bytes: Buffer.from('other') });
  assert.ok(checksums.patches().length > 0);
  apply(file, checksums, { zone, from: 3, bytes: Buffer.alloc(5, 3) });
  assert.deepEqual(checksums.patches(), []);
});

test('a change that leaves its entry is refused', () => {
  const file = Buffer.alloc(400, 3);
  const checksums = new Checksums(ranges(file));
  assert.throws(() => checksums.change(new Map(), 45, Buffer.alloc(10), Buffer.alloc(10, 1)), RangeError);
});
