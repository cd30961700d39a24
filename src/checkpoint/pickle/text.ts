import { isUtf8 } from 'node:buffer';
import { PickleFault } from './refusal.ts';

/**
 * The texts of a pickle: UTF-8 with lone surrogates ("surrogatepass"), and the escaped forms of protocol 0.
 */

const REPLACEMENT = '\ufffd';

/** UTF-8 as Python's pickle reads str: lone surrogates pass, anything else malformed is a fault. */
export function decodeUnicode(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  if (!text.includes(REPLACEMENT)) return text;
  const strict = decodeSurrogatePass(bytes, start, end);
  if (strict === undefined) throw new PickleFault('the string is not UTF-8');
  return strict;
}

/**
 * A Python 2 str: text when it is UTF-8 (as torch.load decodes it), otherwise undefined. Lone surrogates do not pass: bytes that look like some, such
 * as an array's, could not be had back from the text.
 */
export function decodeLegacyString(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

function decodeSurrogatePass(bytes: Buffer, start: number, end: number): string | undefined {
  const pieces: string[] = [];
  let units: number[] = [];
  let at = start;
  while (at < end) {
    const lead = bytes[at] as number;
    const length =
      lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length === 0 || at + length > end) return undefined;
    let code = length === 1 ? lead : lead & (0x7f >> length);
    for (let i = 1; i < length; i++) {
      const next = bytes[at + i] as number;
      if ((next & 0xc0) !== 0x80) return undefined;
      code = code * 64 + (next & 0x3f);
    }
    if ((length === 3 && code < 0x800) || (length === 4 && (code < 0x10000 || code > 0x10ffff))) {
      return undefined;
    }
    if (code >= 0x10000) units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
    else units.push(code);
    at += length;
    if (units.length > 4096) {
      pieces.push(String.fromCharCode(...units));
      units = [];
    }
  }
  pieces.push(String.fromCharCode(...units));
  return pieces.join('');
}

/** UNICODE of protocol 0: Latin-1 with \\uXXXX and \\UXXXXXXXX. */
export function decodeRawUnicodeEscape(bytes: Buffer): string {
  const units = Buffer.allocUnsafe(bytes.length * 2);
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    const digits = bytes[at] === BACKSLASH ? escapeDigits(bytes[at + 1]) : 0;
    const code = digits === 0 ? undefined : hexadecimal(bytes, at + 2, digits);
    if (code === undefined || code > 0x10ffff) {
      length = units.writeUInt16LE(bytes[at] as number, length);
      at += 1;
      continue;
    }
    if (code >= 0x10000) {
      length = units.writeUInt16LE(0xd800 + ((code - 0x10000) >> 10), length);
      length = units.writeUInt16LE(0xdc00 + ((code - 0x10000) & 0x3ff), length);
    } else {
      length = units.writeUInt16LE(code, length);
    }
    at += 2 + digits;
  }
  return units.toString('utf16le', 0, length);
}

const BACKSLASH = 0x5c;

function escapeDigits(letter: number | undefined): number {
  if (letter === 0x75) return 4; // u
  return letter === 0x55 ? 8 : 0; // U
}

function hexadecimal(bytes: Buffer, start: number, digits: number): number | undefined {
  if (start + digits > bytes.length) return undefined;
  const text = bytes.toString('latin1', start, start + digits);
  return /^[0-9a-fA-F]+$/.test(text) ? Number.parseInt(text, 16) : undefined;
}

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = {
  '\\': 0x5c,
  "'": 0x27,
  '"': 0x22,
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
};

/** STRING of protocol 0: the repr of a Python 2 str, quotes included. */
export function decodeQuotedString(line: Buffer): Buffer {
  const text = line.toString('latin1').trim();
  const quote = text[0];
  if (text.length < 2 || (quote !== "'" && quote !== '"') || text[text.length - 1] !== quote) {
    throw new PickleFault('the string is not quoted');
  }
  const output = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 1; at < text.length - 1; at++) {
    if (text[at] !== '\\') {
      output[length++] = text.charCodeAt(at);
      continue;
    }
    const letter = text[++at] as string;
    const simple = SIMPLE_ESCAPES[letter];
    const digits = /^(?:x([0-9a-fA-F]{2})|([0-7]{1,3}))/.exec(text.slice(at, at + 3));
    if (simple !== undefined) {
      output[length++] = simple;
    } else if (digits?.[1] !== undefined) {
      output[length++] = Number.parseInt(digits[1], 16);
      at += 2;
    } else if (digits?.[2] !== undefined) {
      output[length++] = Number.parseInt(digits[2], 8) & 0xff;
      at += digits[2].length - 1;
    } else {
      output[length++] = 0x5c;
      output[length++] = letter.charCodeAt(0);
    }
  }
  return output.subarray(0, length);
}
