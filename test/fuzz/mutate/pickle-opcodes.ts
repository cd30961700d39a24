/** Takes a pickle apart into its opcodes by the sizes of their arguments, and makes opcodes with arguments. Nothing is interpreted. */
import { OP } from '../../../src/checkpoint/pickle/opcodes.ts';

export interface Opcode {
  readonly code: number;
  /** Opcode and argument, as they stand in the pickle. */
  readonly bytes: Buffer;
}

/** How an argument ends: after so many lines, so many bytes, or behind a length of so many bytes. */
type Argument = { readonly lines: number } | { readonly bytes: number } | { readonly length: number };

const ARGUMENTS: ReadonlyMap<number, Argument> = new Map<number, Argument>([
  ...[OP.FLOAT, OP.INT, OP.LONG, OP.PERSID, OP.STRING, OP.UNICODE, OP.GET, OP.PUT].map(
    (code) => [code, { lines: 1 }] as const,
  ),
  ...[OP.GLOBAL, OP.INST].map((code) => [code, { lines: 2 }] as const),
  ...[OP.BININT1, OP.BINGET, OP.BINPUT, OP.PROTO, OP.EXT1].map((code) => [code, { bytes: 1 }] as const),
  ...[OP.BININT2, OP.EXT2].map((code) => [code, { bytes: 2 }] as const),
  ...[OP.BININT, OP.LONG_BINGET, OP.LONG_BINPUT, OP.EXT4].map((code) => [code, { bytes: 4 }] as const),
  ...[OP.BINFLOAT, OP.FRAME].map((code) => [code, { bytes: 8 }] as const),
  ...[OP.SHORT_BINSTRING, OP.LONG1, OP.SHORT_BINBYTES, OP.SHORT_BINUNICODE].map(
    (code) => [code, { length: 1 }] as const,
  ),
  ...[OP.BINSTRING, OP.BINUNICODE, OP.LONG4, OP.BINBYTES].map((code) => [code, { length: 4 }] as const),
  ...[OP.BINUNICODE8, OP.BINBYTES8, OP.BYTEARRAY8].map((code) => [code, { length: 8 }] as const),
]);

export const ALL_CODES: readonly number[] = Object.values(OP);
export const WITHOUT_ARGUMENT: readonly number[] = ALL_CODES.filter((code) => !ARGUMENTS.has(code));

/** The opcodes up to the first STOP, and what follows it. */
export function takeApart(pickle: Uint8Array): { opcodes: Opcode[]; rest: Buffer } {
  const bytes = Buffer.from(pickle.buffer, pickle.byteOffset, pickle.byteLength);
  const opcodes: Opcode[] = [];
  let at = 0;
  while (at < bytes.length) {
    const code = bytes[at] ?? 0;
    const end = Math.min(bytes.length, endOf(bytes, at, ARGUMENTS.get(code)));
    opcodes.push({ code, bytes: bytes.subarray(at, end) });
    at = end;
    if (code === OP.STOP) break;
  }
  return { opcodes, rest: bytes.subarray(at) };
}

function endOf(bytes: Buffer, at: number, argument: Argument | undefined): number {
  if (argument === undefined) return at + 1;
  if ('bytes' in argument) return at + 1 + argument.bytes;
  if ('lines' in argument) {
    let end = at + 1;
    for (let line = 0; line < argument.lines; line++) {
      const newline = bytes.indexOf(10, end);
      end = newline < 0 ? bytes.length : newline + 1;
    }
    return end;
  }
  const data = at + 1 + argument.length;
  if (data > bytes.length) return bytes.length;
  return data + bytes.readUIntLE(at + 1, Math.min(argument.length, 6));
}

export function putTogether(opcodes: readonly Opcode[]): Buffer {
  return Buffer.concat(opcodes.map(({ bytes }) => bytes));
}

export function opcode(code: number, argument: Uint8Array = new Uint8Array(0)): Opcode {
  return { code, bytes: Buffer.concat([Buffer.of(code), argument]) };
}

/** The shortest opcode for a whole number, of protocol 2. */
export function integer(value: bigint): Opcode {
  if (value >= 0n && value < 256n) return opcode(OP.BININT1, Buffer.of(Number(value)));
  if (value >= -(2n ** 31n) && value < 2n ** 31n) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(Number(value));
    return opcode(OP.BININT, bytes);
  }
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 8n) {
    bytes.push(Number(rest & 255n));
    if (rest < 128n && rest >= -128n) break;
  }
  return opcode(OP.LONG1, Buffer.from([bytes.length, ...bytes]));
}

export function unicode(text: string): Opcode {
  const data = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(data.length);
  return opcode(OP.BINUNICODE, Buffer.concat([length, data]));
}

export function global(path: string): Opcode {
  const dot = path.lastIndexOf('.');
  return opcode(OP.GLOBAL, Buffer.from(`${path.slice(0, dot)}\n${path.slice(dot + 1)}\n`));
}

export function memoGet(index: number): Opcode {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(index);
  return opcode(OP.LONG_BINGET, bytes);
}

export function memoPut(index: number): Opcode {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(index);
  return opcode(OP.LONG_BINPUT, bytes);
}

/** The value of an opcode that `integer` makes, or of BININT2; mutated opcodes may have any bytes. */
export function integerOf({ code, bytes }: Opcode): bigint | undefined {
  if (code === OP.BININT1 && bytes.length === 2) return BigInt(bytes.readUInt8(1));
  if (code === OP.BININT2 && bytes.length === 3) return BigInt(bytes.readUInt16LE(1));
  if (code === OP.BININT && bytes.length === 5) return BigInt(bytes.readInt32LE(1));
  return undefined;
}

/** The text of a string opcode with a length before it. */
export function textOf({ code, bytes }: Opcode): string | undefined {
  if (code === OP.BINUNICODE) return bytes.toString('utf8', 5);
  if (code === OP.SHORT_BINUNICODE || code === OP.SHORT_BINSTRING) return bytes.toString('utf8', 2);
  return undefined;
}
