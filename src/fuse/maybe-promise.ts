import type { MaybePromise } from './filesystem.ts';

/**
 * Continues with a value at once if it is there, or later if it is a promise. An answer that needs no waiting is then sent before `handle`
 * returns: listing 20,000 files makes 20,000 such answers.
 */
export function after<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
