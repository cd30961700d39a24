import { Uint32Column } from './columns.ts';

/** File names by number: a model of 91,000 tensors has a quarter of a million entries and some hundred different names. */
export class InternedNames {
  readonly #numbers = new Map<string, number>();
  readonly #texts: string[] = [];
  /** The names with their suffixes: `weight` and `.bin` are looked for once a tensor. */
  readonly #suffixed = new Map<string, Uint32Column>();

  /** The number of a name, a new one if it has none. */
  numberOf(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#texts.length;
    this.#texts.push(text);
    this.#numbers.set(text, number);
    return number;
  }

  /** The number of a name that has one already. */
  find(text: string): number | undefined {
    return this.#numbers.get(text);
  }

  text(number: number): string {
    return this.#texts[number] as string;
  }

  /** The number of a name with a suffix. */
  withSuffix(name: number, suffix: string): number {
    let known = this.#suffixed.get(suffix);
    if (known === undefined) {
      known = new Uint32Column();
      this.#suffixed.set(suffix, known);
    }
    // With 1 added: 0 is none.
    const there = known.at(name);
    if (there !== 0) return there - 1;
    const number = this.numberOf(this.text(name) + suffix);
    known.set(name, number + 1);
    return number;
  }
}
