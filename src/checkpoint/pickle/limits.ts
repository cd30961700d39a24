/**
 * What one pickle may ask of its reader. A pickle is a program, and a small one can ask for much; every opcode is therefore
 * charged before it allocates. The defaults let a checkpoint of 150,000 tensors through and keep a hostile one under two
 * seconds and half a gigabyte, its own bytes included.
 */
export interface PickleLimits {
  /** Size of the pickle itself, inflated. */
  readonly pickleBytes: number;
  /** Opcodes, plus one for every item that a bulk operation copies. */
  readonly steps: number;
  /** Estimated size of everything the pickle made, strings included. */
  readonly heapBytes: number;
  /** Values on the stack. */
  readonly stackDepth: number;
  /** MARKs that are open at a time: how deep containers may be nested while they are built. */
  readonly markDepth: number;
  readonly memoEntries: number;
  /** One string or bytes object. */
  readonly stringBytes: number;
  /** One int. Python itself refuses to print an int of more than 4,300 digits. */
  readonly intBytes: number;
}

export const PICKLE_LIMITS: PickleLimits = {
  pickleBytes: 160 * 1024 * 1024,
  steps: 32_000_000,
  heapBytes: 208 * 1024 * 1024,
  stackDepth: 4_000_000,
  markDepth: 10_000,
  memoEntries: 8_000_000,
  stringBytes: 128 * 1024 * 1024,
  intBytes: 2048,
};

/** Estimated bytes of V8's heap that a value costs, measured on Node 20 and rounded up. */
export const HEAP_COST = {
  string: 32,
  float: 32,
  bytes: 160,
  list: 72,
  tuple: 64,
  dict: 144,
  set: 96,
  object: 120,
  slot: 10,
  /** A dict's pair: the entry, and its place in the index. */
  item: 96,
  memo: 16,
  global: 400,
} as const;
