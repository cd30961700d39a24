/**
 * Headers of numpy's .npy files (numpy/lib/format.py, NEP 1): the magic string, a version, a length and a Python dict literal, padded with spaces so that
 * the data begins at a multiple of 64. Nothing is evaluated: a dict that is not exactly a literal of the three fields is refused.
 *
 *   0   6  \x93NUMPY
 *   6   2  version: 1.0; 2.0 when the dict is longer than 65,535 bytes; 3.0 when it is UTF-8
 *   8   2  length of the dict, uint16 little-endian (2.0 and 3.0: 4 bytes, uint32)
 *  10      {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, spaces, a newline
 */
const MAGIC = Buffer.from('\x93NUMPY', 'latin1');
const ALIGNMENT = 64;

/** Maximum size of a header in bytes. numpy itself refuses to read a dict of more than 10,000. */
export const NPY_HEADER_BYTES = 65_536;

export interface NpyArray {
  /** numpy's name of the dtype, byte order included. */
  readonly descr: string;
  readonly shape: readonly number[];
}

export interface ParsedNpy extends NpyArray {
  readonly fortranOrder: boolean;
  /** Offset of the data in the file. */
  readonly dataOffset: number;
}

/** Why a file is not an array that can be used. The message follows the file's name. */
export class NpyRefusal extends Error {}

function dictOf({ descr, shape }: NpyArray): string {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  return `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sizes}), }`;
}

/** Whether the length of the dict fits in version 1.0. */
function isShort(dict: string): boolean {
  return padded(10, dict.length) - 10 <= 0xffff;
}

/** The length of `npyHeader`. */
export function npyHeaderBytes(array: NpyArray): number {
  const dict = dictOf(array);
  return padded(isShort(dict) ? 10 : 12, dict.length);
}

export function npyHeader(array: NpyArray): Uint8Array {
  const dict = dictOf(array);
  const short = isShort(dict);
  const prefix = short ? 10 : 12;
  const header = Buffer.alloc(padded(prefix, dict.length), ' ');
  MAGIC.copy(header);
  header.writeUInt8(short ? 1 : 2, 6);
  header.writeUInt8(0, 7);
  if (short) header.writeUInt16LE(header.length - prefix, 8);
  else header.writeUInt32LE(header.length - prefix, 8);
  header.write(dict, prefix, 'latin1');
  header.write('\n', header.length - 1, 'latin1');
  return header;
}

/** Size of prefix, dict and newline, padded to the offset at which the data begins. */
function padded(prefix: number, dictLength: number): number {
  return Math.ceil((prefix + dictLength + 1) / ALIGNMENT) * ALIGNMENT;
}

/** `start`: the first NPY_HEADER_BYTES of a file, or all of a shorter one. Throws NpyRefusal. */
export function parseNpyHeader(start: Uint8Array): ParsedNpy {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.length < 10 || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new NpyRefusal('is not a .npy file: it does not begin with \\x93NUMPY');
  }
  const version = `${bytes[6]}.${bytes[7]}`;
  if (!['1.0', '2.0', '3.0'].includes(version)) throw new NpyRefusal(`is of numpy's format ${version}`);
  const prefix = version === '1.0' ? 10 : 12;
  if (bytes.length < prefix) throw new NpyRefusal('ends in its header');
  const length = version === '1.0' ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8);
  const dataOffset = prefix + length;
  if (dataOffset > NPY_HEADER_BYTES) throw new NpyRefusal(`has a header of ${length} bytes`);
  if (dataOffset > bytes.length) throw new NpyRefusal('ends in its header');
  return { ...parseFields(bytes.toString('utf8', prefix, dataOffset)), dataOffset };
}

/** Reads the three fields in any order: numpy's writer and others differ in it. */
function parseFields(text: string): Omit<ParsedNpy, 'dataOffset'> {
  const literal = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1];
  if (literal === undefined) throw new NpyRefusal('has a header that is not a literal');
  if (/["']descr["']\s*:\s*\[/.test(literal)) throw new NpyRefusal('has records for elements');
  const descr = /["']descr["']\s*:\s*(["'])([^"']*)\1/.exec(literal)?.[2];
  const order = /["']fortran_order["']\s*:\s*(True|False)\b/.exec(literal)?.[1];
  const sizes = /["']shape["']\s*:\s*\(([\d\sL,]*)\)/.exec(literal)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined) {
    throw new NpyRefusal('has a header without descr, fortran_order and shape');
  }
  if (/^[<>|=]?O/.test(descr))
    throw new NpyRefusal('holds pickled Python objects, which are never unpickled');
  const shape = sizes
    .split(',')
    .map((size) => size.trim().replace(/L$/, ''))
    .filter((size) => size !== '')
    .map(Number);
  if (!shape.every(Number.isSafeInteger)) throw new NpyRefusal(`has a shape of (${sizes.trim()})`);
  return { descr, shape, fortranOrder: order === 'True' };
}
