/** What no text of MLFS may contain, and how long its messages may be: docs/FORMATS.md, "Text from a checkpoint". */
import assert from 'node:assert/strict';
import { MlfsError } from '../../src/errors.ts';

/**
 * Ranges of code points that a terminal, a reader of logs or a bidirectional display acts upon. Not taken from the product, so that the
 * product's classes are checked, too.
 */
const FORBIDDEN: readonly (readonly [number, number])[] = [
  [0x00, 0x09],
  [0x0b, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x61c, 0x61c],
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xe000, 0xf8ff],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xfffb],
  [0xfffd, 0xffff],
  [0x110bd, 0x110bd],
  [0x1bca0, 0x1bca3],
  [0x1d173, 0x1d17a],
  [0xe0000, 0x10ffff],
];

/** The first forbidden character and its place; undefined for a clean text. Line feeds are allowed. */
export function forbidden(text: string): string | undefined {
  if (/^[\n -~]*$/.test(text)) return undefined;
  let at = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (FORBIDDEN.some(([first, last]) => code >= first && code <= last)) {
      return `U+${code.toString(16).padStart(4, '0')} after ${JSON.stringify(text.slice(Math.max(0, at - 60), at))}`;
    }
    at += character.length;
  }
  return undefined;
}

/** Bytes that are not UTF-8 are forbidden, too. */
export function assertClean(text: string | Uint8Array, what = 'a text'): void {
  const found = forbidden(typeof text === 'string' ? text : Buffer.from(text).toString('utf8'));
  assert.equal(found, undefined, `${what} holds ${found}`);
}

const MAX_MESSAGE_BYTES = 2048;

/** An error that MLFS explains: typed, one line, clean, and not long. */
export function assertExplained(error: unknown): asserts error is MlfsError {
  assert.ok(error instanceof MlfsError, String(error));
  for (const text of [error.message, error.advice ?? '']) {
    assertClean(text, 'an error');
    assert.equal(text.includes('\n'), false, text);
    assert.ok(Buffer.byteLength(text) <= MAX_MESSAGE_BYTES, `${Buffer.byteLength(text)} bytes of message`);
  }
}
