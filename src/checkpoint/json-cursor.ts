import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';
import { NAME_LENGTH } from './name-length.ts';

/** The subject of a message; evaluated only when there is a message. */
export type Place = () => string;

/** Maximum nesting, the same as the official reader's. */
const MAX_DEPTH = 126;
/** Maximum total size of fields that the format does not know. */
const MAX_SKIPPED_BYTES = 1024 * 1024;
/** Metadata may hold whole documents. */
const MAX_STRING_BYTES = 16 * 1024 * 1024;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** A string with an escape, or with a control character, which JSON forbids. */
const NEEDS_PARSING = /\\|[^ -\u{10ffff}]/u;
const LITERAL = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/;

/** Reads JSON from UTF-8 bytes, token by token. `item` walks the members of the object or list that `open` entered. */
export class JsonCursor {
  readonly #bytes: Buffer;
  readonly #path: string;
  readonly #base: number;
  #at = 0;
  /** How many more bytes may be skipped, and the offset at which the present skip must end. */
  #skippable = MAX_SKIPPED_BYTES;
  #skipEnd = 0;
  /** Whether the next member is the first one after its bracket. */
  #fresh = false;

  constructor(bytes: Buffer, path: string, base: number) {
    this.#bytes = bytes;
    this.#path = path;
    this.#base = base;
  }

  /** Where the next token is looked for. */
  get position(): number {
    return this.#at;
  }

  /** Continues behind a member that was read in another way. */
  continueAt(position: number): void {
    this.#at = position;
  }

  error(reason: string): MlfsError {
    return new MlfsError(
      'ERR_MLFS_SAFETENSORS',
      `${this.#path}: ${reason} (at byte ${this.#base + this.#at})`,
      {
        path: this.#path,
      },
    );
  }

  limit(reason: string): MlfsError {
    return new MlfsError('ERR_MLFS_LIMIT', `${this.#path}: the header has ${reason}`, { path: this.#path });
  }

  twice(key: string, place: Place): MlfsError {
    return this.error(`${place()}: the key ${quoteName(key)} occurs twice`);
  }

  open(bracket: '{' | '[', place: Place): void {
    if (!this.#take(bracket)) {
      throw this.error(`${place()} is not a JSON ${bracket === '{' ? 'object' : 'list'}`);
    }
    this.#fresh = true;
  }

  /** Moves to the next member; when there is none, moves past the bracket and returns false. */
  item(closing: '}' | ']'): boolean {
    const fresh = this.#fresh;
    this.#fresh = false;
    if (this.#take(closing)) return false;
    if (!fresh && !this.#take(',')) throw this.error(`the JSON needs "," or "${closing}"`);
    return true;
  }

  key(place: Place): string {
    const key = this.string(() => `a key of ${place()}`);
    if (key.length > NAME_LENGTH) throw this.limit(`a key of more than ${NAME_LENGTH} characters`);
    if (!this.#take(':')) throw this.error('the JSON needs ":" after a key');
    return key;
  }

  string(place: Place): string {
    const start = this.#skipString(place);
    if (this.#at - start > MAX_STRING_BYTES) {
      throw this.limit(`a string of more than ${MAX_STRING_BYTES} bytes`);
    }
    const text = parseString(this.#bytes.toString('utf8', start, this.#at));
    if (text === undefined) throw this.error(`${place()} is not a valid JSON string`);
    return text;
  }

  /** A list of at most `most` unsigned integers. */
  integers(place: Place, most: number): number[] {
    const numbers: number[] = [];
    this.open('[', place);
    while (this.item(']')) {
      if (numbers.length === most) throw this.error(`${place()} has more than ${most} numbers`);
      numbers.push(this.#integer(place));
    }
    return numbers;
  }

  /** Whether the next value is null; if so, moves past it. */
  takeNull(): boolean {
    this.#skipSpace();
    if (this.#bytes.toString('latin1', this.#at, this.#at + 4) !== 'null') return false;
    this.#at += 4;
    return true;
  }

  /** Skips any value, for fields that later versions of the format may add. */
  skip(): void {
    const start = this.#at;
    this.#skipEnd = start + this.#skippable;
    this.#skipValue(0);
    this.#skippable -= this.#at - start;
  }

  #skipValue(depth: number): void {
    if (depth > MAX_DEPTH) throw this.error(`the JSON nests deeper than ${MAX_DEPTH}`);
    if (this.#at > this.#skipEnd) {
      throw this.limit(`more than ${MAX_SKIPPED_BYTES} bytes of fields that the format does not know`);
    }
    this.#skipSpace();
    const place = () => 'a value';
    const byte = this.#bytes[this.#at];
    if (byte === QUOTE) {
      this.#skipString(place);
    } else if (byte === 0x7b || byte === 0x5b) {
      const [bracket, closing] = byte === 0x7b ? (['{', '}'] as const) : (['[', ']'] as const);
      this.open(bracket, place);
      while (this.item(closing)) {
        if (bracket === '{') this.key(place);
        this.#skipValue(depth + 1);
      }
    } else {
      const word = LITERAL.exec(this.#bytes.toString('latin1', this.#at, this.#at + 64))?.[0];
      if (word === undefined) throw this.error('the JSON has no value here');
      this.#at += word.length;
    }
  }

  /** Moves past a string; returns its start. */
  #skipString(place: Place): number {
    this.#skipSpace();
    const start = this.#at;
    if (this.#bytes[start] !== QUOTE) throw this.error(`${place()} is not a JSON string`);
    let end = start;
    let slashes: number;
    do {
      end = this.#bytes.indexOf(QUOTE, end + 1);
      if (end < 0) throw this.error(`${place()} has no closing quote`);
      slashes = 0;
      while (this.#bytes[end - 1 - slashes] === BACKSLASH) slashes++;
    } while (slashes % 2 === 1);
    this.#at = end + 1;
    return start;
  }

  /** Nothing but the padding may follow. */
  end(): void {
    this.#skipSpace();
    if (this.#at < this.#bytes.length) throw this.error('the header goes on after its JSON object');
  }

  #integer(place: Place): number {
    this.#skipSpace();
    const start = this.#at;
    let value = 0;
    let byte = this.#bytes[this.#at] ?? 0;
    while (byte >= 0x30 && byte <= 0x39) {
      value = value * 10 + byte - 0x30;
      byte = this.#bytes[++this.#at] ?? 0;
    }
    const digits = this.#at - start;
    const leadingZero = digits > 1 && this.#bytes[start] === 0x30;
    if (digits === 0 || leadingZero || !Number.isSafeInteger(value)) {
      this.#at = start;
      throw this.error(`${place()} holds something that is not an unsigned integer below 2^53`);
    }
    return value;
  }

  #take(token: string): boolean {
    this.#skipSpace();
    if (this.#bytes[this.#at] !== token.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
    }
  }
}

/** The text of a quoted JSON string; undefined when it is not one, or has half of a surrogate pair, which no file name can have. */
function parseString(quoted: string): string | undefined {
  if (!NEEDS_PARSING.test(quoted)) return quoted.slice(1, -1);
  try {
    const text: unknown = JSON.parse(quoted);
    return typeof text === 'string' && !/\p{Surrogate}/u.test(text) ? text : undefined;
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined;
    throw cause;
  }
}
