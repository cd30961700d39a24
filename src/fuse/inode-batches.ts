/** What is put into a native inode table, in the shape that it takes (NativeInodeTable in storage/native.ts). */
import { INODE_FIELDS } from '../storage/native.ts';
import type { NativeInodes } from './native-inodes.ts';
import { encodeName } from './protocol/name-bytes.ts';

const ROWS = 4096;
/** Entries of folders, and bytes of their names, in one call. */
const ENTRIES = 8192;
const NAME_BYTES = 256 * 1024;
/** Numbers before the entries of a folder, and for each entry. */
const FOLDER_FIELDS = 3;
const ENTRY_FIELDS = 3;

/** Rows of inodes, passed on some thousand at a time. */
export class RowBatch {
  readonly #target: Pick<NativeInodes, 'addInodes'>;
  readonly #numbers = new Float64Array(ROWS * INODE_FIELDS);
  #length = 0;

  constructor(target: Pick<NativeInodes, 'addInodes'>) {
    this.#target = target;
  }

  add(
    nodeid: number,
    mode: number,
    nlink: number,
    size: number,
    mtimeMs: number,
    parent: number,
    flags: number,
    room: number,
    file: number,
    offset: number,
  ): void {
    if (this.#length === this.#numbers.length) this.flush();
    const numbers = this.#numbers;
    const seconds = Math.floor(mtimeMs / 1000);
    let at = this.#length;
    numbers[at++] = nodeid;
    numbers[at++] = mode;
    numbers[at++] = nlink;
    numbers[at++] = size;
    numbers[at++] = seconds;
    numbers[at++] = nanosecondsWithin(mtimeMs, seconds);
    numbers[at++] = parent;
    numbers[at++] = flags;
    numbers[at++] = room;
    numbers[at++] = file;
    numbers[at++] = offset;
    this.#length = at;
  }

  /** Forgets what was added since the last flush. */
  drop(): void {
    this.#length = 0;
  }

  flush(): void {
    const length = this.#length;
    // Also if it throws, for the next use.
    this.#length = 0;
    if (length > 0) this.#target.addInodes(this.#numbers.subarray(0, length));
  }
}

/** Listings of folders, passed on some thousand entries at a time. A folder is never divided. */
export class ListingBatch {
  readonly #target: Pick<NativeInodes, 'publishListings'>;
  #numbers = new Float64Array(ENTRIES * ENTRY_FIELDS);
  #length = 0;
  #names = new Uint8Array(NAME_BYTES);
  #nameBytes = 0;
  #offset = 0;

  constructor(target: Pick<NativeInodes, 'publishListings'>) {
    this.#target = target;
  }

  /** Begins a folder; `add` must follow `count` times. */
  folder(nodeid: number, flags: number, count: number): void {
    if (this.#length > this.#numbers.length / 2 || this.#nameBytes > this.#names.length / 2) this.flush();
    const needed = this.#length + FOLDER_FIELDS + count * ENTRY_FIELDS;
    if (needed > this.#numbers.length) this.#numbers = grown(this.#numbers, needed, Float64Array);
    this.#numbers[this.#length++] = nodeid;
    this.#numbers[this.#length++] = flags;
    this.#numbers[this.#length++] = count;
    this.#offset = FIRST_OFFSET;
  }

  /** The next entry. Its offset is the one that `DirectoryListings` gives it. */
  add(name: string, nodeid: number): void {
    this.#numbers[this.#length++] = nodeid;
    this.#numbers[this.#length++] = ++this.#offset;
    this.#numbers[this.#length++] = this.#addName(name);
  }

  /** Forgets what was added since the last flush. */
  drop(): void {
    this.#length = 0;
    this.#nameBytes = 0;
  }

  flush(): void {
    const length = this.#length;
    const nameBytes = this.#nameBytes;
    this.#length = 0;
    this.#nameBytes = 0;
    if (length > 0)
      this.#target.publishListings(this.#numbers.subarray(0, length), this.#names.subarray(0, nameBytes));
  }

  /** Returns the number of bytes. Nearly all names are ASCII. */
  #addName(name: string): number {
    const { length } = name;
    this.#makeRoom(length);
    const start = this.#nameBytes;
    for (let at = 0; at < length; at++) {
      const code = name.charCodeAt(at);
      if (code >= 0x80) return this.#addBytes(encodeName(name));
      this.#names[start + at] = code;
    }
    this.#nameBytes += length;
    return length;
  }

  #addBytes(bytes: Uint8Array): number {
    this.#makeRoom(bytes.length);
    this.#names.set(bytes, this.#nameBytes);
    this.#nameBytes += bytes.length;
    return bytes.length;
  }

  #makeRoom(bytes: number): void {
    const needed = this.#nameBytes + bytes;
    if (needed > this.#names.length) this.#names = grown(this.#names, needed, Uint8Array);
  }
}

/** `.` and `..` have the offsets before. */
const FIRST_OFFSET = 2;

function grown<T extends Float64Array | Uint8Array>(
  array: T,
  needed: number,
  kind: new (length: number) => T,
): T {
  const larger = new kind(Math.max(needed, array.length * 2));
  larger.set(array);
  return larger;
}

/** As protocol/fields.ts writes a time. */
export function nanosecondsWithin(ms: number, seconds: number): number {
  return Math.floor((ms - seconds * 1000) * 1e6);
}
