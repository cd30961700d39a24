import type { Storage } from '../tensor.ts';
import { CountedKeys } from './counted-keys.ts';

/** The storages of a checkpoint by their keys, in the order in which they were added. */
export class StorageMap<T extends Storage> implements Iterable<[key: string, storage: T]> {
  readonly #all: T[] = [];
  readonly #places = new CountedKeys<number>();

  get size(): number {
    return this.#all.length;
  }

  get(key: string): T | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#all[place];
  }

  has(key: string): boolean {
    return this.#places.get(key) !== undefined;
  }

  /** Adds a storage under its key, or puts it in the place of the one that is there. */
  add(storage: T): void {
    const place = this.#places.get(storage.key);
    if (place !== undefined) this.#all[place] = storage;
    else this.#places.set(storage.key, this.#all.push(storage) - 1);
  }

  values(): IterableIterator<T> {
    return this.#all.values();
  }

  *keys(): Generator<string> {
    for (const { key } of this.#all) yield key;
  }

  *[Symbol.iterator](): Generator<[key: string, storage: T]> {
    for (const storage of this.#all) yield [storage.key, storage];
  }
}
