/**
 * Lists of numbers, of which equal ones are one array: the shapes and strides of a checkpoint are few, and its tensors many. The numbers of one list
 * after the other are added; `end` returns the list.
 */
export class NumberLists {
  /** Maximum number of numbers in a list. */
  static readonly LENGTH = 8;
  /** Lists by their hash; another list with the same hash takes the place. */
  readonly #known: (readonly number[] | undefined)[] = new Array(256).fill(undefined);
  readonly #numbers = new Float64Array(NumberLists.LENGTH);
  #length = 0;

  /** Returns false if the list is too long. */
  add(value: number): boolean {
    if (this.#length === NumberLists.LENGTH) return false;
    this.#numbers[this.#length++] = value;
    return true;
  }

  end(): readonly number[] {
    const length = this.#length;
    this.#length = 0;
    let hash = length;
    for (let at = 0; at < length; at++) hash = Math.imul(hash, 31) + ((this.#numbers[at] as number) | 0);
    const place = (hash ^ (hash >>> 8) ^ (hash >>> 16)) & 255;
    const known = this.#known[place];
    if (known !== undefined && this.#isEqual(known, length)) return known;
    const list = Array.from(this.#numbers.subarray(0, length));
    this.#known[place] = list;
    return list;
  }

  drop(): undefined {
    this.#length = 0;
  }

  #isEqual(list: readonly number[], length: number): boolean {
    if (list.length !== length) return false;
    for (let at = 0; at < length; at++) if (list[at] !== this.#numbers[at]) return false;
    return true;
  }
}
