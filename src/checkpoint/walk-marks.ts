/**
 * Marks that a walk leaves on tensors and containers, instead of keeping a set of what it has seen: a checkpoint has a hundred thousand tensors, and a
 * forged file millions of containers. Each walk has numbers of its own. Walks run one after the other, never in between.
 */
let last = 0;

/** `count` numbers that no walk before has used; returns the first. */
export function newMarks(count: number): number {
  const first = last + 1;
  last += count;
  return first;
}
