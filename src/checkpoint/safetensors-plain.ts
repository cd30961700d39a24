/**
 * Reads the members of a safetensors header that look like those of the safetensors library, without a space or an escape:
 *
 *     "model.norm.weight":{"dtype":"BF16","shape":[7168],"data_offsets":[0,14336]}
 *
 * It refuses nothing: whatever looks different is left to the parser of any JSON.
 */
import { NumberLists } from './number-lists.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const CLOSING_BRACKET = 0x5d;
const DTYPE = Buffer.from('":{"dtype":"');
const SHAPE = Buffer.from('","shape":[');
const OFFSETS = Buffer.from(',"data_offsets":[');
const END = Buffer.from(']}');
/** Numbers of so many digits are exact. */
const DIGITS = 15;
/** Longer names are left to the parser, which refuses the longest. */
const NAME_BYTES = 1024;
const DTYPE_BYTES = 16;

export class PlainMembers {
  name = '';
  dtype = '';
  shape: readonly number[] = [];
  begin = 0;
  end = 0;
  /** Where the member ends. */
  at = 0;
  readonly #bytes: Buffer;
  readonly #shapes = new NumberLists();
  /** Where the dtype before was read: the next is nearly always the same. */
  #dtypeStart = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Reads the member that begins at `start`. Returns false if it is not a plain one. */
  read(start: number): boolean {
    this.at = start;
    return (
      this.#readName() &&
      this.#is(DTYPE) &&
      this.#readDtype() &&
      this.#is(SHAPE) &&
      this.#readShape() &&
      this.#is(OFFSETS) &&
      this.#readOffsets() &&
      this.#is(END)
    );
  }

  #is(text: Buffer): boolean {
    const bytes = this.#bytes;
    const { at } = this;
    for (let index = 0; index < text.length; index++) if (bytes[at + index] !== text[index]) return false;
    this.at = at + text.length;
    return true;
  }

  /** Up to the closing quote, which is part of what follows. */
  #readName(): boolean {
    const bytes = this.#bytes;
    if (bytes[this.at] !== QUOTE) return false;
    const start = this.at + 1;
    let end = start;
    for (let byte = bytes[end]; byte !== QUOTE; byte = bytes[++end]) {
      if (byte === undefined || byte < 0x20 || byte >= 0x7f || byte === BACKSLASH) return false;
    }
    if (end - start > NAME_BYTES) return false;
    this.name = bytes.toString('latin1', start, end);
    this.at = end;
    return true;
  }

  #readDtype(): boolean {
    const bytes = this.#bytes;
    const start = this.at;
    let isSame = this.dtype !== '';
    let end = start;
    for (let byte = bytes[end]; byte !== QUOTE; byte = bytes[++end]) {
      if (byte === undefined || byte < 0x20 || byte >= 0x7f || byte === BACKSLASH) return false;
      if (byte !== bytes[this.#dtypeStart + end - start]) isSame = false;
    }
    if (end - start > DTYPE_BYTES) return false;
    if (!isSame || end - start !== this.dtype.length) {
      this.dtype = bytes.toString('latin1', start, end);
      this.#dtypeStart = start;
    }
    this.at = end;
    return true;
  }

  #readShape(): boolean {
    if (this.#bytes[this.at] !== CLOSING_BRACKET) {
      for (;;) {
        const number = this.#number();
        if (number < 0 || !this.#shapes.add(number)) return this.#shapes.drop() ?? false;
        if (this.#bytes[this.at] !== COMMA) break;
        this.at++;
      }
    }
    this.shape = this.#shapes.end();
    return this.#bytes[this.at++] === CLOSING_BRACKET;
  }

  #readOffsets(): boolean {
    this.begin = this.#number();
    if (this.begin < 0 || this.#bytes[this.at++] !== COMMA) return false;
    this.end = this.#number();
    return this.end >= 0;
  }

  /** Digits without a leading zero; -1 if there are none, or more than are exact. */
  #number(): number {
    const bytes = this.#bytes;
    const start = this.at;
    let value = 0;
    let at = start;
    for (let digit = digitAt(bytes, at); digit >= 0; digit = digitAt(bytes, ++at)) value = value * 10 + digit;
    this.at = at;
    const digits = at - start;
    const isPlain = digits > 0 && digits <= DIGITS && (digits === 1 || bytes[start] !== 0x30);
    return isPlain ? value : -1;
  }
}

function digitAt(bytes: Buffer, at: number): number {
  const byte = bytes[at] ?? 0;
  return byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : -1;
}
