import { atOnce, inSlices } from './in-slices.ts';

/**
 * A value that takes long to compute. Callers that can wait share one computation in slices. A caller that asks for it earlier gets it at
 * once, which blocks the event loop.
 */
export class Sliced<T extends object> {
  readonly #work: () => Generator<void, T>;
  #value: T | undefined;
  #making: Promise<void> | undefined;

  /** `work` must make the same value every time. */
  constructor(work: () => Generator<void, T>) {
    this.#work = work;
  }

  get done(): boolean {
    return this.#value !== undefined;
  }

  get value(): T {
    this.#value ??= atOnce(this.#work());
    return this.#value;
  }

  make(): Promise<void> {
    if (this.#value !== undefined) return Promise.resolve();
    this.#making ??= inSlices(this.#work())
      .then((value) => {
        this.#value ??= value;
      })
      .finally(() => {
        this.#making = undefined;
      });
    return this.#making;
  }
}
