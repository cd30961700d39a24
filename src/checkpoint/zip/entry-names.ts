import { randomInt } from 'node:crypto';

/** Free places in the table of hashes: it is at most half full. */
const PLACES_FOR_EACH = 2;
const LARGEST_MULTIPLIER = 0x4000_0000;

/**
 * The names of an archive's entries, each once, in UTF-8 in one buffer. An archive has up to hundreds of thousands: a string, and a place in a
 * Map, for each would take ten times the memory and the time.
 */
export class EntryNames {
  #bytes: Buffer;
  #length = 0;
  #count = 0;
  /** Where each name ends in the buffer. */
  readonly #ends: Uint32Array;
  /** Places of names by their hash, plus one; 0 is a free place. */
  readonly #places: Uint32Array;
  readonly #mask: number;
  /** Secret: whoever forges an archive cannot choose names that collide. */
  readonly #seed = randomInt(LARGEST_MULTIPLIER);
  readonly #multiplier = randomInt(LARGEST_MULTIPLIER) * 2 + 1;
  /** The name that is looked for. */
  #wanted = Buffer.allocUnsafe(256);
  /** The entry that was found last. */
  #found = -1;

  /** `bytes`: about how many bytes the names have. */
  constructor(capacity: number, bytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(16, bytes));
    this.#ends = new Uint32Array(capacity);
    const places = 2 ** Math.ceil(Math.log2(Math.max(8, capacity * PLACES_FOR_EACH)));
    this.#places = new Uint32Array(places);
    this.#mask = places - 1;
  }

  get count(): number {
    return this.#count;
  }

  /** Adds the name in `source` from `start` to `end`. Returns false, and adds nothing, if the name is there already. */
  add(source: Buffer, start: number, end: number): boolean {
    const length = end - start;
    if (this.#length + length > this.#bytes.length) this.#grow(length);
    const bytes = this.#bytes;
    const from = this.#length;
    const multiplier = this.#multiplier;
    let hash = this.#seed;
    for (let index = 0; index < length; index++) {
      const byte = source[start + index] as number;
      bytes[from + index] = byte;
      hash = Math.imul(hash ^ byte, multiplier);
      hash ^= hash >>> 15;
    }
    let place = hash & this.#mask;
    for (let name = this.#places[place]; name !== 0; name = this.#places[place]) {
      if (this.#isAt((name as number) - 1, bytes, from, length)) return false;
      place = (place + 1) & this.#mask;
    }
    this.#ends[this.#count++] = from + length;
    this.#places[place] = this.#count;
    this.#length = from + length;
    return true;
  }

  /** The entry whose name is `folder` followed by `name`, or -1. */
  find(folder: string, name: string): number {
    const length = folder.length + name.length;
    if (this.#wanted.length < length) this.#wanted = Buffer.allocUnsafe(length * 2);
    let wanted = this.#wanted;
    const ascii = putAscii(wanted, 0, folder) && putAscii(wanted, folder.length, name);
    if (!ascii) wanted = Buffer.from(folder + name);
    return this.#find(wanted, ascii ? length : wanted.length);
  }

  #find(wanted: Buffer, length: number): number {
    // torch lists storages in the order in which the pickle names them: most often the next is asked for.
    const next = this.#found + 1;
    if (next < this.#count && this.#isAt(next, wanted, 0, length)) {
      this.#found = next;
      return next;
    }
    const found = this.#search(wanted, length);
    if (found >= 0) this.#found = found;
    return found;
  }

  #search(wanted: Buffer, length: number): number {
    let hash = this.#seed;
    for (let index = 0; index < length; index++) {
      hash = Math.imul(hash ^ (wanted[index] as number), this.#multiplier);
      hash ^= hash >>> 15;
    }
    let place = hash & this.#mask;
    for (let found = this.#places[place]; found !== 0; found = this.#places[place]) {
      if (this.#isAt((found as number) - 1, wanted, 0, length)) return (found as number) - 1;
      place = (place + 1) & this.#mask;
    }
    return -1;
  }

  text(index: number): string {
    return this.#bytes.toString('utf8', this.#startOf(index), this.#ends[index]);
  }

  /** Whether the name begins, or ends, with an ASCII text. */
  startsWith(index: number, text: string): boolean {
    const start = this.#startOf(index);
    return (this.#ends[index] as number) - start >= text.length && this.#holds(start, text);
  }

  endsWith(index: number, text: string): boolean {
    const start = (this.#ends[index] as number) - text.length;
    return start >= this.#startOf(index) && this.#holds(start, text);
  }

  #holds(start: number, text: string): boolean {
    for (let index = 0; index < text.length; index++) {
      if (this.#bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  #startOf(index: number): number {
    return index === 0 ? 0 : (this.#ends[index - 1] as number);
  }

  #isAt(index: number, bytes: Buffer, from: number, length: number): boolean {
    const start = this.#startOf(index);
    if ((this.#ends[index] as number) - start !== length) return false;
    // From the end: names of one folder begin alike.
    const own = this.#bytes;
    for (let at = length - 1; at >= 0; at--) if (own[start + at] !== bytes[from + at]) return false;
    return true;
  }

  #grow(least: number): void {
    const larger = Buffer.allocUnsafeSlow(this.#bytes.length * 2 + least);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

function putAscii(bytes: Buffer, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code >= 0x80) return false;
    bytes[at + index] = code;
  }
  return true;
}
