/** Mutations of bytes and texts whose structure is not known, and the numbers and texts that parsers tend to get wrong. */
import type { Random } from '../random.ts';

/** Edges of the integer widths that formats use, and of a double's exact integers. */
export const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  ...[7n, 8n, 15n, 16n, 31n, 32n, 52n, 53n, 62n, 63n, 64n].flatMap((bits) => [
    2n ** bits - 1n,
    2n ** bits,
    2n ** bits + 1n,
  ]),
];

/** Names and texts: paths, JavaScript's own properties, control and deceptive characters, long ones, what is not Unicode. */
export const TEXTS: readonly string[] = [
  '',
  '.',
  '..',
  '/',
  '../../x',
  '%',
  '%2F',
  '%~2',
  '__proto__',
  'constructor',
  'toString',
  'length',
  '0',
  '-1',
  'weight',
  'a.b',
  '.a.',
  '...',
  '\0',
  '\n',
  '\r\n# [0, :, :]',
  '\x1b[31mred',
  '\x7f\x80\x9b31m',
  '\u202eevil',
  '\u2066x\u2069',
  '\u2028\u2029',
  '\u200b\ufeff',
  '\u{e0041}',
  '\ud800',
  '\udc00\ud800',
  'é'.repeat(130),
  'n'.repeat(255),
  'n'.repeat(5000),
  'a.'.repeat(600),
  '.'.repeat(700),
];

/** One to eight small changes anywhere. */
export function mutateBytes(random: Random, bytes: Uint8Array): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let left = random.pick([1, 1, 1, 2, 3, 8]); left > 0; left--) result = changedOnce(random, result);
  return result;
}

function changedOnce(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const length = random.pick([1, 1, 2, 4, 8, 40, 300]);
  switch (random.below(7)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
      return flipped;
    }
    case 1:
      return splice(bytes, at, length, Buffer.alloc(0));
    case 2:
      return splice(bytes, at, 0, random.bytes(length));
    case 3:
      return splice(bytes, at, 0, bytes.subarray(at, at + length));
    case 4: {
      const number = numberBytes(random, random.pick([1, 2, 4, 8]));
      return splice(bytes, at, number.length, number);
    }
    case 5:
      return bytes.subarray(0, at);
    default: {
      const from = random.below(bytes.length + 1);
      return splice(bytes, at, length, bytes.subarray(from, from + length));
    }
  }
}

/** An edge, or something near it, as `width` bytes in either order. */
export function numberBytes(random: Random, width: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, edge(random)));
  const little = bytes.subarray(0, width);
  return random.once(4) ? Buffer.from(little).reverse() : little;
}

/** A whole number at or near an edge, sometimes negative. */
export function edge(random: Random): bigint {
  const value = random.pick(EDGES);
  return random.once(4) ? -value : value;
}

export function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
}

/** A text from the list, or a change of the present one. */
export function mutateText(random: Random, text: string): string {
  if (random.once(2)) return random.pick(TEXTS);
  const at = random.below(text.length + 1);
  return text.slice(0, at) + random.pick(TEXTS) + text.slice(at + random.below(3));
}
