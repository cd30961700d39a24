/**
 * Names as strings, whatever their bytes: a byte that is not UTF-8 becomes the lone surrogate U+DC00 + byte. No valid UTF-8 decodes to that,
 * so every name can be turned back into its bytes (Python's `surrogateescape` does the same).
 */
import { isUtf8 } from 'node:buffer';

/** The character that decoding puts in the place of bytes that are not UTF-8; a name may also contain it as such. */
const REPLACEMENT = '\uFFFD';
/** A surrogate that is not part of a pair. */
const LONE = /\p{Surrogate}/u;
const ESCAPE = 0xdc00;

export function decodeName(bytes: Buffer): string {
  const name = bytes.toString('utf8');
  return name.includes(REPLACEMENT) && !isUtf8(bytes) ? decodePieces(bytes) : name;
}

export function encodeName(name: string): Buffer {
  if (!hasRawBytes(name)) return Buffer.from(name, 'utf8');
  const pieces = Array.from(name, (character) =>
    LONE.test(character) ? Buffer.of(character.charCodeAt(0) & 0xff) : Buffer.from(character, 'utf8'),
  );
  return Buffer.concat(pieces);
}

/** Whether some of its bytes are not UTF-8. */
export function hasRawBytes(name: string): boolean {
  return LONE.test(name);
}

/** The longest run of UTF-8 from each byte on, with at most 4 bytes for each character. */
function decodePieces(bytes: Buffer): string {
  let name = '';
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((count) => isWhole(bytes, at, count));
    if (length === undefined) name += String.fromCharCode(ESCAPE + bytes.readUInt8(at));
    else name += bytes.toString('utf8', at, at + length);
    at += length ?? 1;
  }
  return name;
}

function isWhole(bytes: Buffer, at: number, count: number): boolean {
  return at + count <= bytes.length && isUtf8(bytes.subarray(at, at + count));
}
