/**
 * The log of one mount: logfmt, a line an event, kept in memory within a bound and handed to a sink line by line.
 * `/logs/fuse.log` is this object: it grows under its readers. When it is full its lines become `/logs/fuse.log.1`, in the place of those that were
 * there, and it begins anew: `tail -F` says that the file was truncated and goes on.
 *
 * Invariants: what is kept always ends in a newline and starts at the beginning of a line; a line never holds a raw newline.
 */
import type { Appender, LiveContent } from '../storage/content.ts';
import { isHidden, visible, visibleJson } from '../visible-text.ts';
import { AppendedLines } from './appended-lines.ts';

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export type Fields = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

export interface LogOptions {
  /** Lines below it are not kept. */
  readonly level?: Level;
  readonly maxBytes?: number;
  /** Gets each line as it is kept, newline included. */
  readonly sink?: (line: string) => void;
  readonly now?: () => Date;
}

const DEFAULT_MAX_BYTES = 1024 * 1024;
const MAX_LINE_BYTES = 8192;

export class Log implements LiveContent {
  readonly kind = 'live';
  readonly #threshold: number;
  readonly #maxBytes: number;
  readonly #sink: ((line: string) => void) | undefined;
  readonly #now: () => Date;
  readonly #current = new Lines();
  readonly #before = new Lines();

  constructor(options: LogOptions = {}) {
    this.#threshold = LEVELS.indexOf(options.level ?? 'info');
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#sink = options.sink;
    this.#now = options.now ?? (() => new Date());
  }

  debug(message: string, fields?: Fields): void {
    this.write('debug', message, fields);
  }

  info(message: string, fields?: Fields): void {
    this.write('info', message, fields);
  }

  warn(message: string, fields?: Fields): void {
    this.write('warn', message, fields);
  }

  error(message: string, fields?: Fields): void {
    this.write('error', message, fields);
  }

  write(level: Level, message: string, fields: Fields = {}): void {
    if (LEVELS.indexOf(level) < this.#threshold) return;
    this.#keep(logfmt({ time: this.#now().toISOString(), level, msg: message, ...fields }));
  }

  /** What was rotated out last; users cannot add to it. */
  get rotated(): LiveContent {
    return this.#before;
  }

  size(): number {
    return this.#current.size();
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#current.read(offset, length);
  }

  /** What a user writes is kept as lines of its own, whole ones, what is hidden in them escaped. */
  appender(): Appender {
    return new AppendedLines(MAX_LINE_BYTES, (line) => {
      if (line !== '') this.#keep(visible(line));
    });
  }

  #keep(text: string): void {
    const line = `${cutTo(MAX_LINE_BYTES, text)}\n`;
    const bytes = Buffer.from(line);
    if (this.#current.size() + bytes.byteLength > this.#maxBytes) this.#before.takeAll(this.#current);
    this.#current.add(bytes);
    this.#sink?.(line);
  }
}

/** Lines in memory, read as a file. */
class Lines implements LiveContent {
  readonly kind = 'live';
  #lines: Buffer[] = [];
  #bytes = 0;

  add(line: Buffer): void {
    this.#lines.push(line);
    this.#bytes += line.byteLength;
  }

  /** Has what the other had, which is empty then. */
  takeAll(other: Lines): void {
    this.#lines = other.#lines;
    this.#bytes = other.#bytes;
    other.#lines = [];
    other.#bytes = 0;
  }

  size(): number {
    return this.#bytes;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const parts: Buffer[] = [];
    let at = 0;
    for (const line of this.#lines) {
      if (at >= offset + length) break;
      if (at + line.byteLength > offset) {
        parts.push(line.subarray(Math.max(0, offset - at), Math.min(line.byteLength, offset + length - at)));
      }
      at += line.byteLength;
    }
    return Buffer.concat(parts);
  }
}

/** `key=value` pairs; a value with a space, a quote, `=`, a backslash or something hidden is quoted and escaped as in JSON. */
export function logfmt(fields: Fields): string {
  const pairs: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined) pairs.push(`${key}=${logfmtValue(String(value))}`);
  }
  return pairs.join(' ');
}

function logfmtValue(value: string): string {
  return value === '' || /[ "=\\]/.test(value) || isHidden(value) ? visibleJson(value) : value;
}

/** Ends in `…` when it was longer. */
function cutTo(maxBytes: number, text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= maxBytes) return text;
  // In the middle of a character the last one is not whole.
  return `${bytes.toString('utf8', 0, maxBytes - CUT_MARK_BYTES).replace(/\uFFFD+$/, '')}…`;
}

const CUT_MARK_BYTES = 3;
