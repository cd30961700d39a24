/** Operations as programs make them, with the answers that they can have: what the model foretells and what the clients really get. */
import fc from 'fast-check';

/** Open files are known by a slot, as programs know them by a descriptor. */
export type Operation =
  | {
      readonly do: 'open';
      readonly slot: number;
      readonly path: string;
      readonly access: Access;
      readonly truncate: boolean;
      readonly create: boolean;
    }
  | { readonly do: 'close' | 'fsync'; readonly slot: number }
  | { readonly do: 'read'; readonly slot: number; readonly offset: number; readonly length: number }
  | { readonly do: 'write'; readonly slot: number; readonly offset: number; readonly bytes: string }
  | { readonly do: 'ftruncate'; readonly slot: number; readonly size: number }
  | { readonly do: 'truncate'; readonly path: string; readonly size: number }
  | { readonly do: 'rename'; readonly path: string; readonly to: string }
  | { readonly do: 'unlink' | 'mkdir' | 'rmdir' | 'list' | 'size' | 'content'; readonly path: string }
  | { readonly do: 'commit' | 'discard' | 'remount' };

export type Access = 'read' | 'write' | 'both';

/** Bytes are hexadecimal. */
export type Answer =
  | { readonly errno: string }
  | { readonly value: string | number | readonly string[] | null };

export const DONE: Answer = { value: null };

export const SLOTS = 4;

/** Two tensors that overlap in one storage, a transposed view of it, one alone, one that is expanded; places for scratch files. */
export const TENSOR_PATHS = ['/model/a.bin', '/model/b.bin', '/model/t.bin', '/model/c.bin', '/model/e.bin'];
const GRADIENT_PATHS = ['/model/a.grad', '/model/c.grad'];
const FILE_PATHS = ['/model/x', '/model/y.bin', '/model/d/x', '/model/d/z'];
const FOLDER_PATHS = ['/model/d', '/model/d/f', '/model/g'];

const path = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...TENSOR_PATHS) },
  { weight: 1, arbitrary: fc.constantFrom(...GRADIENT_PATHS) },
  { weight: 4, arbitrary: fc.constantFrom(...FILE_PATHS) },
);
const anyPath = fc.oneof(
  { weight: 5, arbitrary: path },
  { weight: 1, arbitrary: fc.constantFrom(...FOLDER_PATHS) },
);
const slot = fc.nat(SLOTS - 1);
/** Tensors have 24 bytes, and a stage has 64 at most. */
const size = fc.oneof(fc.constantFrom(0, 24), fc.nat(70));
const offset = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.nat(24) },
  { weight: 1, arbitrary: fc.nat(70) },
  { weight: 1, arbitrary: fc.nat(70_000) },
);

/** Bytes that are no text, so that only a text that is meant to be a number is one. */
const noise = fc
  .oneof(fc.constant(24), fc.integer({ min: 1, max: 30 }))
  .chain((length) => fc.array(fc.integer({ min: 0x80, max: 0xff }), { minLength: length, maxLength: length }))
  .map((bytes) => Buffer.from(bytes).toString('hex'));
const text = fc
  .constantFrom('7\n', '0', '255\n', '256', 'none\n')
  .map((word) => Buffer.from(word).toString('hex'));
const bytes = fc.oneof({ weight: 4, arbitrary: noise }, { weight: 1, arbitrary: text });

export const operations: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('open' as const),
      slot,
      path: anyPath,
      access: fc.constantFrom<Access>('read', 'write', 'both', 'both'),
      truncate: fc.boolean(),
      create: fc.boolean(),
    }),
  },
  { weight: 9, arbitrary: fc.record({ do: fc.constant('close' as const), slot }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fsync' as const), slot }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      slot,
      offset,
      length: fc.integer({ min: 1, max: 40 }),
    }),
  },
  { weight: 18, arbitrary: fc.record({ do: fc.constant('write' as const), slot, offset, bytes }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('ftruncate' as const), slot, size }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('truncate' as const), path: anyPath, size }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('rename' as const), path: anyPath, to: anyPath }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('unlink' as const, 'rmdir' as const), path: anyPath }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('mkdir' as const), path: fc.constantFrom(...FOLDER_PATHS) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('list' as const, 'size' as const, 'content' as const),
      path: anyPath,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'discard' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remount' as const) }) },
);
