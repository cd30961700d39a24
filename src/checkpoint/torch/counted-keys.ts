/** More digits than any count of storages has. */
const DIGITS = 9;

/**
 * A map from keys to values. torch counts the keys of storages from 0: those are places in a list, which takes a tenth of a Map's memory, and only
 * others need a Map.
 */
export class CountedKeys<T> {
  /** Values whose key is the number of their place. */
  readonly #counted: T[] = [];
  readonly #others = new Map<string, T>();

  get(key: string): T | undefined {
    const number = countOf(key);
    return number >= 0 && number < this.#counted.length ? this.#counted[number] : this.#others.get(key);
  }

  set(key: string, value: T): void {
    const number = countOf(key);
    if (number < 0 || number > this.#counted.length || this.#others.has(key)) this.#others.set(key, value);
    else this.#counted[number] = value;
  }
}

/** The number that a key is the usual text of; -1 for other keys. */
function countOf(key: string): number {
  const { length } = key;
  if (length === 0 || length > DIGITS || (length > 1 && key.charCodeAt(0) === 0x30)) return -1;
  let number = 0;
  for (let at = 0; at < length; at++) {
    const digit = key.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}
