import { quoteName } from '../../visible-text.ts';
import { PickleFault } from './refusal.ts';

/** An int: a number while it is a safe integer, a bigint beyond. */
export function pythonInt(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** LONG1 and LONG4: little-endian two's complement of any length. */
export function decodeLong(bytes: Buffer): number | bigint {
  if (bytes.length === 0) return 0;
  if (bytes.length <= 6) return bytes.readIntLE(0, bytes.length);
  if (bytes.length === 8) return pythonInt(bytes.readBigInt64LE());
  const magnitude = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  return pythonInt(BigInt.asIntN(bytes.length * 8, magnitude));
}

/** The decimal text of INT and LONG. */
export function parseInteger(text: string): number | bigint {
  if (!/^[+-]?\d+$/.test(text)) throw new PickleFault(`${quoteName(text)} is not an integer`);
  return pythonInt(BigInt(text.replace(/^\+/, '')));
}

/** The text of FLOAT as Python's float() reads it. */
export function parseFloatText(text: string): number {
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special !== null) {
    if (special[2]?.toLowerCase() === 'nan') return Number.NaN;
    return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    throw new PickleFault(`${quoteName(text)} is not a float`);
  }
  return Number(text);
}
