import { isUtf8 } from 'node:buffer';
import type { Account } from './account.ts';
import { HEAP_COST, type PickleLimits } from './limits.ts';
import { decodeLong, parseFloatText, parseInteger } from './numbers.ts';
import { PickleReader } from './reader.ts';
import { PickleFault, TruncatedPickle } from './refusal.ts';
import { decodeLegacyString, decodeQuotedString, decodeRawUnicodeEscape, decodeUnicode } from './text.ts';
import { PyBytes, PyFloat, UndecodedText, type Value } from './values.ts';

/** The longest line that names a module, a class, a number or a place in the memo. */
const LINE_BYTES = 4096;
/** Longer than texts usually are. */
const LONG_STRING = 4096;
/** What making a bigint takes, in opcodes. */
const LONG_STEPS = 16;

/** Reads the values that stand in the opcode stream itself, and charges them before they are decoded. */
export class ArgumentReader extends PickleReader {
  readonly #account: Account;
  readonly #limits: PickleLimits;

  constructor(bytes: Buffer, start: number, account: Account, limits: PickleLimits) {
    super(bytes, start);
    this.#account = account;
    this.#limits = limits;
  }

  // Numbers

  float(): PyFloat {
    this.#account.heap(HEAP_COST.float);
    return new PyFloat(this.f64());
  }

  floatLine(): PyFloat {
    this.#account.heap(HEAP_COST.float);
    return new PyFloat(parseFloatText(this.#textLine()));
  }

  long(length: number): number | bigint {
    this.#checkLength(length, this.#limits.intBytes, 'an int');
    this.#account.heap(HEAP_COST.bigint + length);
    if (length > 8) this.#account.steps(LONG_STEPS + (length >>> 2));
    return decodeLong(this.slice(length));
  }

  longLine(): number | bigint {
    return parseInteger(this.#integerText().replace(/L$/, ''));
  }

  /** Protocols 0 and 1 have no opcode for bool: the texts 00 and 01 are False and True. */
  intLine(): number | bigint | boolean {
    const text = this.#integerText();
    return text === '01' || text === '00' ? text === '01' : parseInteger(text);
  }

  memoIndexLine(): number {
    const index = parseInteger(this.#textLine());
    if (typeof index === 'bigint' || index < 0) throw new PickleFault(`${index} is not a place in the memo`);
    return index;
  }

  // Texts and bytes

  unicode(length: number): string {
    const at = this.take(length);
    this.#chargeText(length);
    return decodeUnicode(this.bytes, at, at + length);
  }

  undecodedText(length: number): UndecodedText {
    this.#account.heap(HEAP_COST.bytes);
    return new UndecodedText(this.slice(length));
  }

  unicodeLine(): string {
    const line = this.line();
    this.#chargeText(line.length * 4);
    return decodeRawUnicodeEscape(line);
  }

  /** Python 2's str: text if it is UTF-8, otherwise bytes. */
  legacyString(length: number): Value {
    this.#checkLength(length, this.#limits.stringBytes, 'a string');
    const bytes = this.slice(length);
    if (length >= LONG_STRING) {
      // Nearly always an array's bytes: no string is made of what is no text.
      this.#account.steps(length >>> 6);
      if (!isUtf8(bytes)) {
        this.#account.heap(HEAP_COST.bytes);
        return new PyBytes(bytes);
      }
    }
    this.#chargeText(length);
    return decodeLegacyString(bytes) ?? new PyBytes(bytes);
  }

  legacyStringLine(): Value {
    const line = this.line();
    this.#chargeText(line.length * 4);
    const bytes = decodeQuotedString(line);
    return decodeLegacyString(bytes) ?? new PyBytes(bytes);
  }

  bytesValue(length: number, mutable = false): PyBytes {
    this.#account.heap(HEAP_COST.bytes);
    return new PyBytes(this.slice(length), mutable);
  }

  nameLine(): string {
    const line = this.#boundedLine();
    this.#account.heap(HEAP_COST.string + line.length);
    return decodeUnicode(line, 0, line.length);
  }

  /** A frame only says how much a pickler may read ahead; it must not announce more than there is. */
  frame(): void {
    const length = this.u64();
    const left = this.bytes.length - this.position;
    if (length > left) {
      throw new TruncatedPickle(`a frame of ${length} bytes is announced, and ${left} bytes are left`);
    }
  }

  #boundedLine(): Buffer {
    const line = this.line();
    this.#checkLength(line.length, LINE_BYTES, 'a line');
    return line;
  }

  #textLine(): string {
    return this.#boundedLine().toString('latin1').trim();
  }

  #integerText(): string {
    const text = this.#textLine();
    this.#account.heap(HEAP_COST.bigint + text.length);
    if (text.length > 15) this.#account.steps(LONG_STEPS + text.length);
    return text;
  }

  /** Long texts may take two bytes a character. */
  #chargeText(length: number): void {
    this.#checkLength(length, this.#limits.stringBytes, 'a string');
    this.#account.heap(HEAP_COST.string + (length > 256 ? length * 2 : length));
    this.#account.steps(length >>> 6);
  }

  #checkLength(length: number, limit: number, what: string): void {
    if (length < 0) throw new PickleFault(`${what} of ${length} bytes`);
    if (length > limit) {
      throw new PickleFault(`${what} of ${length} bytes; the limit is ${limit}`, 'ERR_MLFS_LIMIT');
    }
  }
}
