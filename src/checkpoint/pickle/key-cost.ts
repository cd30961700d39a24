import { NAME_LENGTH } from '../name-length.ts';
import type { Account } from './account.ts';
import { type PyDict, PyTuple, type Value } from './values.ts';

/** In opcodes: the index has the digits of an int beyond 2^53, and the text of a tuple's parts. */
const BIGINT_STEPS = 64;
const TUPLE_STEPS = 64;

/** Charges the cost of a key in a dict's index. A text that is longer than any name may be compared with every other such key. */
export function chargeKey(account: Account, dict: PyDict, key: Value): void {
  if (typeof key === 'string') {
    const once = key.length >>> 6;
    account.steps(key.length <= NAME_LENGTH ? once : once * ++dict.longKeys);
  } else if (typeof key === 'bigint') {
    account.steps(BIGINT_STEPS);
  } else if (key instanceof PyTuple) {
    account.steps(TUPLE_STEPS);
  }
}
