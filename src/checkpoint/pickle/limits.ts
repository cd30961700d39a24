/**
 * Limits for one pickle. A pickle is a program, and a small one can ask for much time and memory, so every opcode is
 * charged before it allocates. The defaults let a checkpoint of 150,000 tensors through and keep a hostile one under two
 * seconds and half a gigabyte, its own bytes included.
 */
export interface PickleLimits {
  /** Inflated size of the pickle itself. */
  readonly pickleBytes: number;
  /** Estimated size of the pickle and of everything it creates, strings included. */
  readonly memoryBytes: number;
  /** Opcodes, plus one for every item that a bulk operation copies. */
  readonly steps: number;
  /** Values on the stack. */
  readonly stackDepth: number;
  /** Concurrently open MARKs: the depth to which containers under construction may be nested. */
  readonly markDepth: number;
  readonly memoEntries: number;
  /** One string. Bytes objects are views of the pickle and need no limit. */
  readonly stringBytes: number;
  /** One int. Python itself refuses to print an int of more than 4,300 digits. */
  readonly intBytes: number;
}

export const PICKLE_LIMITS: PickleLimits = {
  pickleBytes: 160 * 1024 * 1024,
  memoryBytes: 384 * 1024 * 1024,
  steps: 32_000_000,
  stackDepth: 4_000_000,
  markDepth: 10_000,
  memoEntries: 8_000_000,
  stringBytes: 128 * 1024 * 1024,
  intBytes: 2048,
};

/** Estimated bytes of V8's heap that a value costs, measured on Node 20 and rounded up. */
export const HEAP_COST = {
  string: 32,
  float: 56,
  bigint: 48,
  bytes: 160,
  list: 96,
  tuple: 112,
  dict: 152,
  set: 120,
  object: 120,
  slot: 10,
  /** A slot in a growing array or on the stack. V8 grows arrays by half and briefly holds both the old and the new one. */
  grownSlot: 24,
  /** The first item of a growing array: V8 makes room for seventeen. */
  firstItem: 168,
  /** A dict's pair: the entry, and its place in the index. */
  item: 168,
  memo: 24,
  /** Kept small: real files name some hundreds, and each is looked up in several tables. */
  global: 2400,
  storage: 480,
  tensor: 360,
} as const;
