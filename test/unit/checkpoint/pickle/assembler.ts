import { OP } from '../../../../src/checkpoint/pickle/opcodes.ts';

type Opcode = keyof typeof OP;
/** An opcode's name, or its raw argument. */
export type Part = Opcode | Uint8Array;

/** Puts a pickle together: `assemble('EMPTY_DICT', text('k'), 'NONE', 'SETITEM', 'STOP')`. */
export function assemble(...parts: readonly Part[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.of(OP[part]) : part)));
}

export function u8(value: number): Buffer {
  return Buffer.of(value);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** BINUNICODE. */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return assemble('BINUNICODE', u32(bytes.length), bytes);
}

/** BININT1 or BININT. */
export function int(value: number): Buffer {
  if (value >= 0 && value < 256) return assemble('BININT1', u8(value));
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return assemble('BININT', bytes);
}

export function global(module: string, name: string): Buffer {
  return assemble('GLOBAL', Buffer.from(`${module}\n${name}\n`));
}

/** `torch.storage` persistent id of float32s, read with BINPERSID. */
export function storage(key: string, numel: number, cls = 'FloatStorage'): Buffer {
  return assemble(
    'MARK',
    text('storage'),
    global('torch', cls),
    text(key),
    text('cpu'),
    int(numel),
    'TUPLE',
    'BINPERSID',
  );
}

export function tuple(...items: readonly Uint8Array[]): Buffer {
  return assemble('MARK', ...items, 'TUPLE');
}

/** `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`. */
export function tensor(
  storageId: Uint8Array,
  offset: number,
  size: readonly number[],
  stride: readonly number[],
): Buffer {
  const hooks = assemble(global('collections', 'OrderedDict'), 'EMPTY_TUPLE', 'REDUCE');
  return assemble(
    global('torch._utils', '_rebuild_tensor_v2'),
    'MARK',
    storageId,
    int(offset),
    tuple(...size.map(int)),
    tuple(...stride.map(int)),
    'NEWFALSE',
    hooks,
    'TUPLE',
    'REDUCE',
  );
}
