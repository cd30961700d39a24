/** Lists of numbers that grow: four bytes each, or one, where an array of a model's numbers would be spread over the heap. */

abstract class Column<T extends Uint8Array | Uint32Array> {
  #values: T;
  #length = 0;

  constructor(values: T) {
    this.#values = values;
  }

  protected abstract sized(capacity: number): T;

  get length(): number {
    return this.#length;
  }

  /** 0 beyond the end, and before the beginning. */
  at(index: number): number {
    return this.#values[index] ?? 0;
  }

  /** Returns the index. */
  push(value: number): number {
    const index = this.#length;
    this.set(index, value);
    return index;
  }

  /** An index beyond the end makes the column longer, with zeros. */
  set(index: number, value: number): void {
    if (index >= this.#length) {
      this.expect(index + 1);
      this.#length = index + 1;
    }
    this.#values[index] = value;
  }

  /** Makes room for so many numbers at once. */
  expect(count: number): void {
    if (count <= this.#values.length) return;
    const larger = this.sized(Math.max(count, this.#values.length * 2));
    larger.set(this.#values);
    this.#values = larger;
  }
}

const CAPACITY = 64;

/** Numbers from 0 to 2^32 - 1. */
export class Uint32Column extends Column<Uint32Array> {
  constructor() {
    super(new Uint32Array(CAPACITY));
  }

  protected sized(capacity: number): Uint32Array {
    return new Uint32Array(capacity);
  }
}

/** Numbers from 0 to 255. */
export class ByteColumn extends Column<Uint8Array> {
  constructor() {
    super(new Uint8Array(CAPACITY));
  }

  protected sized(capacity: number): Uint8Array {
    return new Uint8Array(capacity);
  }
}
