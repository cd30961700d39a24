import type { MaybePromise } from './filesystem.ts';

/**
 * Goes on with a value now if it is there, later if it is a promise. An answer that needs no waiting is then sent before
 * `handle` returns: listing 20,000 files is 20,000 such answers.
 */
export function after<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
