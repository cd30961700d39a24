/**
 * The entries of one archive in columns: an archive with 100,000 tensors takes 6 MB and a few allocations instead of 100,000 objects with numbers and
 * names of their own. The central directory fills the first columns, the local headers and descriptors the others. All offsets are the archive's own;
 * `base`, where the archive begins in the image, is added when an entry is asked for.
 */
import type { Descriptor, DescriptorLength, ZipEntry } from './entry.ts';
import { EntryNames } from './entry-names.ts';

export class EntryTable {
  count = 0;
  readonly names: EntryNames;
  readonly flags: Uint16Array;
  /** 1 for deflated entries, 0 for stored ones. */
  readonly deflated: Uint8Array;
  readonly crc32: Uint32Array;
  readonly compressedSize: Float64Array;
  readonly size: Float64Array;
  readonly localHeaderOffset: Float64Array;
  readonly centralOffset: Float64Array;
  /** Where the data starts, which only the local header says. */
  readonly dataOffset: Float64Array;
  /** 1 where the local header has the CRC-32 of the central directory: not with a descriptor, and not when they disagree. */
  readonly localCrc: Uint8Array;
  /** Length of the data descriptor; 0 where there is none. */
  readonly descriptorLength: Uint8Array;
  /** Where the archive begins in the image: not at 0 for one inside another. */
  readonly base: number;

  constructor(capacity: number, nameBytes: number, base: number) {
    this.names = new EntryNames(capacity, nameBytes);
    this.flags = new Uint16Array(capacity);
    this.deflated = new Uint8Array(capacity);
    this.crc32 = new Uint32Array(capacity);
    this.compressedSize = new Float64Array(capacity);
    this.size = new Float64Array(capacity);
    this.localHeaderOffset = new Float64Array(capacity);
    this.centralOffset = new Float64Array(capacity);
    this.dataOffset = new Float64Array(capacity);
    this.localCrc = new Uint8Array(capacity);
    this.descriptorLength = new Uint8Array(capacity);
    this.base = base;
  }

  /** Adds what a record of the central directory says; its name must have been added to `names`. */
  add(
    flags: number,
    deflated: boolean,
    crc32: number,
    compressedSize: number,
    size: number,
    localHeaderOffset: number,
    centralOffset: number,
  ): void {
    const index = this.count++;
    this.flags[index] = flags;
    this.deflated[index] = deflated ? 1 : 0;
    this.crc32[index] = crc32;
    this.compressedSize[index] = compressedSize;
    this.size[index] = size;
    this.localHeaderOffset[index] = localHeaderOffset;
    this.centralOffset[index] = centralOffset;
  }

  /** The entries in the order of their local headers. */
  inFileOrder(): Uint32Array {
    const order = Uint32Array.from({ length: this.count }, (_, index) => index);
    const { localHeaderOffset } = this;
    for (let index = 1; index < this.count; index++) {
      if ((localHeaderOffset[index] as number) >= (localHeaderOffset[index - 1] as number)) continue;
      // Writers list entries in the order of the file; this archive was made in another way.
      return order.sort((a, b) => (localHeaderOffset[a] as number) - (localHeaderOffset[b] as number));
    }
    return order;
  }

  entries(): ZipEntry[] {
    const entries: ZipEntry[] = new Array(this.count);
    for (let index = 0; index < this.count; index++) entries[index] = new TableEntry(this, index);
    return entries;
  }
}

/** The same number, as V8 keeps small integers: without an object of its own. */
function compact(value: number): number {
  return value <= 0x3fff_ffff ? value | 0 : value;
}

/** One row of a table. */
class TableEntry implements ZipEntry {
  // Private by declaration: V8 keeps #fields of so small an object in a second one.
  private readonly table: EntryTable;
  private readonly index: number;

  constructor(table: EntryTable, index: number) {
    this.table = table;
    this.index = index;
  }

  get name(): string {
    return this.table.names.text(this.index);
  }

  get method(): 'stored' | 'deflated' {
    return this.table.deflated[this.index] === 1 ? 'deflated' : 'stored';
  }

  get crc32(): number {
    return this.table.crc32[this.index] as number;
  }

  get compressedSize(): number {
    return compact(this.table.compressedSize[this.index] as number);
  }

  get size(): number {
    return compact(this.table.size[this.index] as number);
  }

  get localHeaderOffset(): number {
    return this.table.base + (this.table.localHeaderOffset[this.index] as number);
  }

  get offset(): number {
    return compact(this.table.base + (this.table.dataOffset[this.index] as number));
  }

  get centralOffset(): number {
    return this.table.base + (this.table.centralOffset[this.index] as number);
  }

  get descriptor(): Descriptor | undefined {
    const length = this.table.descriptorLength[this.index] as DescriptorLength | 0;
    return length === 0 ? undefined : { offset: this.offset + this.compressedSize, length };
  }

  get onlyCentralCrc(): boolean {
    return this.table.descriptorLength[this.index] === 0 && (this.table.localCrc[this.index] as number) === 0;
  }
}

/** The same entry under another name: one of an archive inside the archive. */
export function entryNamed(name: string, entry: ZipEntry): ZipEntry {
  return {
    name,
    method: entry.method,
    crc32: entry.crc32,
    compressedSize: entry.compressedSize,
    size: entry.size,
    localHeaderOffset: entry.localHeaderOffset,
    offset: entry.offset,
    descriptor: entry.descriptor,
    onlyCentralCrc: entry.onlyCentralCrc,
    centralOffset: entry.centralOffset,
  };
}
