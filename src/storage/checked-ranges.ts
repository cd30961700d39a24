/** Bytes of the base whose CRC-32 is stored at `fields`, each 4 bytes little-endian. */
export interface CheckedRange {
  readonly offset: number;
  readonly length: number;
  readonly crc32: number;
  readonly fields: readonly number[];
  /**
   * A field whose value is not the range's CRC, so that edits leave it unchanged. An interrupted commit may have caused that: recovery
   * writes such a field, too.
   */
  readonly differingField?: number;
}

/**
 * Checked ranges in columns: an archive of 100,000 tensors has as many. They are sorted by offset, and a range comes before those inside it;
 * indexes are in this order.
 */
export class CheckedRanges {
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];
  readonly #crcs: number[] = [];
  readonly #fields: number[] = [];
  /** Where the fields of a range end; they begin where those of the range that was added before end. */
  readonly #fieldEnds: number[] = [];
  readonly #differing = new Map<number, number>();
  /** By index: the number of the range in the columns. Absent if they were added in this order, as archives list them. */
  readonly #order: Uint32Array | undefined;

  constructor(ranges: Iterable<CheckedRange>) {
    let isSorted = true;
    for (const { offset, length, crc32, fields, differingField } of ranges) {
      const number = this.#offsets.length;
      if (number > 0 && this.#compare(number - 1, offset, length) > 0) isSorted = false;
      this.#offsets.push(offset);
      this.#lengths.push(length);
      this.#crcs.push(crc32);
      for (const field of fields) this.#fields.push(field);
      this.#fieldEnds.push(this.#fields.length);
      if (differingField !== undefined) this.#differing.set(number, differingField);
    }
    if (isSorted) return;
    const numbers = Uint32Array.from({ length: this.count }, (_, number) => number);
    this.#order = numbers.sort((a, b) => this.#compare(a, this.#offsetAt(b), this.#lengths[b] as number));
  }

  get count(): number {
    return this.#offsets.length;
  }

  offset(index: number): number {
    return this.#offsetAt(this.#numberOf(index));
  }

  /** Where the range ends. */
  end(index: number): number {
    const number = this.#numberOf(index);
    return this.#offsetAt(number) + (this.#lengths[number] as number);
  }

  crc32(index: number): number {
    return this.#crcs[this.#numberOf(index)] as number;
  }

  fields(index: number): readonly number[] {
    const number = this.#numberOf(index);
    return this.#fields.slice(number === 0 ? 0 : this.#fieldEnds[number - 1], this.#fieldEnds[number]);
  }

  differingField(index: number): number | undefined {
    return this.#differing.get(this.#numberOf(index));
  }

  /** The fields of all ranges, ascending. */
  allFields(): Float64Array {
    return Float64Array.from(this.#fields).sort();
  }

  #numberOf(index: number): number {
    return this.#order === undefined ? index : (this.#order[index] as number);
  }

  #offsetAt(number: number): number {
    return this.#offsets[number] as number;
  }

  #compare(number: number, offset: number, length: number): number {
    return this.#offsetAt(number) - offset || length - (this.#lengths[number] as number);
  }
}
