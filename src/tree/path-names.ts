/**
 * Tensor names as paths, and back. A name is split on dots, and each part becomes a file name. Nearly every part of a real model can be a
 * file name as it is; other parts are escaped with `%`, so that every path can be turned back into the name:
 *
 *   `%`                                    →  `%25`
 *   `/`, and what no glyph stands for      →  `%2F`, `%00`, `%9B` (two hex digits), `%u202E` (four, a UTF-16 unit): visible-text.ts says what
 *   an empty part                          →  `%`
 *   `.` and `..` (keys that hold no dots)  →  `%2E`, `%2E%2E`
 *   a part of more than 250 bytes          →  `first bytes%+/rest`: a part that ends in `%+` goes on in the next one
 *
 * 250 and not 255, because the longest suffix a room appends (`.grad`) has 5 bytes. Two entries of one folder that
 * would get the same name stay apart as `name%~2`, `name%~3`, … in the order of the checkpoint (`separated`).
 */
import { isHidden } from '../visible-text.ts';

/** Linux's NAME_MAX minus the longest suffix that is appended to a part. */
const MAX_PART_BYTES = 250;
const CONTINUED = '%+';

/** The path of a tensor name, without a suffix. `tensorNameOf` is the inverse. */
export function pathOfTensorName(name: string): string[] {
  const parts = name.split('.');
  return parts.every(isPlain) ? parts : parts.flatMap(escapeKey);
}

export function tensorNameOf(path: readonly string[]): string {
  const parts: string[] = [];
  let continued = '';
  for (const part of path) {
    if (part.endsWith(CONTINUED)) {
      continued += part.slice(0, -CONTINUED.length);
      continue;
    }
    parts.push(unescapePart(continued + part));
    continued = '';
  }
  return parts.join('.');
}

/** One key as file names: one name, or several if the key is too long for one. Dots stay. */
export function escapeKey(key: string): string[] {
  if (isPlain(key)) return [key];
  if (key === '') return ['%'];
  if (key === '.' || key === '..') return [key.replaceAll('.', '%2E')];
  if (PLAIN.test(key)) return cutPlain(key);
  const pieces = Array.from(key, escapeCharacter);
  const parts: string[] = [];
  let part = '';
  let partBytes = 0;
  let bytesLeft = pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0);
  for (const piece of pieces) {
    const pieceBytes = Buffer.byteLength(piece);
    const restFits = partBytes + bytesLeft <= MAX_PART_BYTES;
    if (!restFits && partBytes + pieceBytes > MAX_PART_BYTES - CONTINUED.length) {
      parts.push(part + CONTINUED);
      part = '';
      partBytes = 0;
    }
    part += piece;
    partBytes += pieceBytes;
    bytesLeft -= pieceBytes;
  }
  parts.push(part);
  return parts;
}

/** The parts of a long key without escapes, with one byte for each character. */
function cutPlain(key: string): string[] {
  const parts: string[] = [];
  const most = MAX_PART_BYTES - CONTINUED.length;
  let at = 0;
  for (; key.length - at > MAX_PART_BYTES; at += most) parts.push(key.slice(at, at + most) + CONTINUED);
  parts.push(key.slice(at));
  return parts;
}

/** `name`, or `name%~n` for the nth entry that would have the same name. */
export function separated(name: string, nth: number): string {
  return nth === 1 ? name : `${name}%~${nth}`;
}

/** ASCII that needs no escape and does not consist of dots only. */
const PLAIN = /^(?!\.{1,2}$)[\x20-\x24\x26-\x2e\x30-\x7e]+$/;

function isPlain(part: string): boolean {
  return part.length <= MAX_PART_BYTES && PLAIN.test(part);
}

/** `character` is one code point or half of a surrogate pair. */
function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (character !== '%' && character !== '/' && !isHidden(character)) return character;
  if (code < 0x100) return `%${code.toString(16).toUpperCase().padStart(2, '0')}`;
  return character
    .split('')
    .map((unit) => `%u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
    .join('');
}

function unescapePart(part: string): string {
  if (part === '%') return '';
  return part.replace(/%(?:u([0-9A-F]{4})|([0-9A-F]{2}))/g, (_, half?: string, byte?: string) =>
    String.fromCharCode(Number.parseInt(half ?? byte ?? '', 16)),
  );
}
