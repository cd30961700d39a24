/**
 * The log of one mount: logfmt, one line for each event, kept in memory up to a maximum size and passed to a sink line by line.
 * `/logs/fuse.log` is this object: it grows while it is read. When it is full, its lines become `/logs/fuse.log.1`, replacing the lines that
 * were there, and it starts empty: `tail -F` reports that the file was truncated and goes on.
 *
 * Invariants: the kept text starts at the beginning of a line and ends in a newline; a line never contains a raw newline.
 */
import type { Appender, LiveContent } from '../storage/content.ts';
import { isHidden, visible, visibleJson } from '../visible-text.ts';
import { AppendedLines } from './appended-lines.ts';
import { ByteRun } from './byte-run.ts';
import { cutTo } from './cut-text.ts';

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export type Fields = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

export interface LogOptions {
  /** Lines below it are not kept. */
  readonly level?: Level | undefined;
  readonly maxBytes?: number;
  /** Gets what is kept: one line, or several complete lines that a user appended together; each with its newline. */
  readonly sink?: ((lines: string) => void) | undefined;
  readonly now?: () => Date;
}

const DEFAULT_MAX_BYTES = 1024 * 1024;
const MAX_LINE_BYTES = 8192;

export class Log implements LiveContent {
  readonly kind = 'live';
  readonly #threshold: number;
  readonly #maxBytes: number;
  readonly #sink: ((lines: string) => void) | undefined;
  readonly #now: () => Date;
  readonly #current = new ByteRun();
  readonly #before = new ByteRun();
  /** Shared by all users who append. */
  readonly #budget = AppendedLines.budget();

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
    const line = logfmt({ time: this.#now().toISOString(), level, msg: message, ...fields });
    this.#keep(`${cutTo(MAX_LINE_BYTES, line)}\n`);
  }

  /** The lines of the last rotation; users cannot append to it. */
  get rotated(): LiveContent {
    return this.#before;
  }

  size(): number {
    return this.#current.size();
  }

  changedMs(): number {
    return this.#current.changedMs();
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#current.read(offset, length);
  }

  /** What a user writes is kept as complete lines, with hidden characters escaped. */
  appender(): Appender {
    return new AppendedLines(MAX_LINE_BYTES, (lines) => this.#keepAppended(lines), this.#budget);
  }

  /** Plain text is kept as it arrives, many lines together; any other text line by line. */
  #keepAppended(lines: string): void {
    if (PLAIN_LINES.test(lines) && lines.length <= this.#maxBytes) {
      this.#keep(lines);
      return;
    }
    for (const line of lines.split('\n')) {
      if (line !== '') this.#keep(`${cutTo(MAX_LINE_BYTES, visible(line))}\n`);
    }
  }

  /** `lines` are complete, each with its newline. */
  #keep(lines: string): void {
    const length = Buffer.byteLength(lines);
    if (this.#current.size() + length > this.#maxBytes) this.#before.takeAll(this.#current);
    this.#current.add(lines, length);
    this.#sink?.(lines);
  }
}

/** Non-empty lines of printable ASCII: there is nothing to escape and nothing to leave out. */
const PLAIN_LINES = /^(?:[\x20-\x7e]+\n)+$/;

/** `key=value` pairs. A value with a space, a quote, `=`, a backslash or a hidden character is quoted and escaped as in JSON. */
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
