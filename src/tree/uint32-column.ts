/** A list of 32-bit numbers that grows: four bytes each, where an array of a model's numbers would be spread over the heap. */
export class Uint32Column {
  #values: Uint32Array;
  #length = 0;

  constructor(capacity = 64) {
    this.#values = new Uint32Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** 0 beyond the end. */
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
      if (index >= this.#values.length) this.#grow(index + 1);
      this.#length = index + 1;
    }
    this.#values[index] = value;
  }

  #grow(needed: number): void {
    const larger = new Uint32Array(Math.max(needed, this.#values.length * 2));
    larger.set(this.#values);
    this.#values = larger;
  }
}
