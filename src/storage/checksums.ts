/**
 * Checksums that follow the edits. A file may hold ranges whose CRC-32 is stored elsewhere in it (a zip's entries). CRC-32 is linear: its
 * change follows from the old bytes, the new bytes and their distance from the range's end, so nothing else is read. A range may lie inside
 * another one (an archive in an archive); the stored CRC of the inner range is then content of the outer.
 *
 * Invariant: a range's difference is the XOR of all its changes since the stored value, and zero when there was none.
 */
import { type CheckedRange, CheckedRanges } from './checked-ranges.ts';
import { crc32, crc32Shift } from './crc32.ts';
import type { DirtyRange } from './overlay.ts';
import { partitionPoint } from './partition-point.ts';

/** Bytes to write at `offset` of the file to make a checksum right. */
export interface ChecksumPatch {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** How one update changes the checksums. `Checksums.apply` puts it into effect. */
export type ChecksumChanges = Map<number, number>;

/** What a commit is about to write, and the changes that it includes. */
export interface ChecksumMark {
  readonly patches: readonly ChecksumPatch[];
  readonly differences: ReadonlyMap<number, number>;
}

export class Checksums {
  readonly #ranges: CheckedRanges;
  /** For each range, the index of the range that contains it, or -1. */
  readonly #around: Int32Array;
  /** The stored value, where a commit made it differ from the range's own. */
  readonly #written = new Map<number, number>();
  /** By index: the XOR of the current and the stored CRC. */
  readonly #differences: ChecksumChanges = new Map();
  #patches: readonly ChecksumPatch[] | undefined;

  constructor(ranges: Iterable<CheckedRange>) {
    this.#ranges = new CheckedRanges(ranges);
    this.#around = nesting(this.#ranges);
  }

  /** Offsets of the stored checksums, ascending: 4 bytes each. */
  get fields(): Float64Array {
    return this.#ranges.allFields();
  }

  /** Offsets of the checksums that a change of these bytes affects. A range lies inside one other range with a checksum, or in none. */
  fieldsOf(changed: Iterable<DirtyRange>): Set<number> {
    const fields = new Set<number>();
    for (const { start, end } of changed) {
      for (const index of this.#outward(this.#lastAtOrBefore(end - 1))) {
        if (this.#ranges.end(index) <= start) continue;
        for (const field of this.#ranges.fields(index)) fields.add(field);
        const differing = this.#ranges.differingField(index);
        if (differing !== undefined) fields.add(differing);
      }
    }
    return fields;
  }

  /** Adds a change of the file to `changes`: `before` at `offset` becomes `after`, of the same length. */
  change(changes: ChecksumChanges, offset: number, before: Uint8Array, after: Uint8Array): void {
    this.#add(changes, offset, before.byteLength, crc32(before) ^ crc32(after));
  }

  /** The same where crc32(before) ^ crc32(after) is known. */
  changeBy(changes: ChecksumChanges, offset: number, length: number, difference: number): void {
    this.#add(changes, offset, length, difference);
  }

  apply(changes: ReadonlyMap<number, number>): void {
    this.#patches = undefined;
    for (const [index, difference] of changes) {
      this.#differences.set(index, ((this.#differences.get(index) ?? 0) ^ difference) >>> 0);
    }
  }

  /** The fields whose right value differs from the stored one, ascending, with the right value. */
  patches(): readonly ChecksumPatch[] {
    this.#patches ??= this.#makePatches();
    return this.#patches;
  }

  /** The right value of the field at `offset`, if it differs from the stored one. */
  patchAt(offset: number): Buffer | undefined {
    const patches = this.patches();
    const found = partitionPoint(
      patches.length,
      (index) => (patches[index] as ChecksumPatch).offset >= offset,
    );
    const patch = patches[found];
    return patch?.offset === offset ? patch.bytes : undefined;
  }

  /** What a commit at this moment has to write. */
  mark(): ChecksumMark {
    return { patches: this.patches(), differences: new Map(this.#differences) };
  }

  /** The commit of that mark is in the file. Later changes remain. */
  settle({ patches, differences }: ChecksumMark): void {
    const values = new Map(patches.map(({ offset, bytes }) => [offset, bytes.readUInt32LE(0)]));
    for (let index = 0; index < this.#ranges.count; index++) {
      const [field] = this.#ranges.fields(index);
      const value = field === undefined ? undefined : values.get(field);
      if (value !== undefined) this.#written.set(index, value);
    }
    this.apply(differences);
  }

  /** Discards all changes. */
  reset(): void {
    this.#differences.clear();
    this.#patches = undefined;
  }

  #makePatches(): ChecksumPatch[] {
    const differences = new Map(this.#differences);
    const patches: ChecksumPatch[] = [];
    // From the inside out: a changed field of an inner range is a change of the outer range, which comes before it.
    const touched = new Set([...differences.keys()].flatMap((index) => [...this.#outward(index)]));
    for (const index of [...touched].sort((a, b) => b - a)) {
      const difference = differences.get(index) ?? 0;
      if (difference === 0) continue;
      const written = this.#written.get(index) ?? this.#ranges.crc32(index);
      const bytes = littleEndian((written ^ difference) >>> 0);
      const ofField = crc32(littleEndian(written)) ^ crc32(bytes);
      for (const offset of this.#ranges.fields(index)) {
        patches.push({ offset, bytes });
        this.#add(differences, offset, bytes.byteLength, ofField);
      }
    }
    return patches.sort((a, b) => a.offset - b.offset);
  }

  /** Adds a change of `length` bytes at `offset`, whose own CRC differs by `difference`, to every range that contains it. */
  #add(changes: ChecksumChanges, offset: number, length: number, difference: number): void {
    const end = offset + length;
    for (const index of this.#outward(this.#lastAtOrBefore(offset))) {
      const rangeEnd = this.#ranges.end(index);
      if (rangeEnd <= offset) continue;
      if (rangeEnd < end)
        throw new RangeError(`bytes ${offset} to ${end} leave the entry that ends at ${rangeEnd}`);
      const shifted = crc32Shift(difference, rangeEnd - end);
      changes.set(index, ((changes.get(index) ?? 0) ^ shifted) >>> 0);
    }
  }

  *#outward(index: number): Iterable<number> {
    for (let at = index; at >= 0; at = this.#around[at] ?? -1) yield at;
  }

  #lastAtOrBefore(offset: number): number {
    return partitionPoint(this.#ranges.count, (index) => this.#ranges.offset(index) > offset) - 1;
  }
}

function nesting(ranges: CheckedRanges): Int32Array {
  const around = new Int32Array(ranges.count);
  const open: number[] = [];
  for (let index = 0; index < ranges.count; index++) {
    while (open.length > 0 && ranges.end(open.at(-1) as number) < ranges.end(index)) open.pop();
    around[index] = open.at(-1) ?? -1;
    open.push(index);
  }
  return around;
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
