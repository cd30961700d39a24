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
import { ByteRun } from './byte-run.ts';
import { cutTo } from './cut-text.ts';

export const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export type Fields = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

export interface LogOptions {
  /** Lines below it are not kept. */
  readonly level?: Level;
  readonly maxBytes?: number;
  /** Gets what is kept: a line, or whole lines that somebody appended together; each with its newline. */
  readonly sink?: (lines: string) => void;
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
  /** Of everybody who appends. */
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

  /** What was rotated out last; users cannot add to it. */
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

  /** What a user writes is kept as lines of its own, whole ones, what is hidden in them escaped. */
  appender(): Appender {
    return new AppendedLines(MAX_LINE_BYTES, (lines) => this.#keepAppended(lines), this.#budget);
  }

  /** Plain text is kept as it came, many lines in one go; other lines are looked at one by one. */
  #keepAppended(lines: string): void {
    if (PLAIN_LINES.test(lines) && lines.length <= this.#maxBytes) {
      this.#keep(lines);
      return;
    }
    for (const line of lines.split('\n')) {
      if (line !== '') this.#keep(`${cutTo(MAX_LINE_BYTES, visible(line))}\n`);
    }
  }

  /** `lines`: whole ones, each with its newline. */
  #keep(lines: string): void {
    const length = Buffer.byteLength(lines);
    if (this.#current.size() + length > this.#maxBytes) this.#before.takeAll(this.#current);
    this.#current.add(lines, length);
    this.#sink?.(lines);
  }
}

/** Lines of printable ASCII, none of them empty: nothing to be made visible, nothing to be left out. */
const PLAIN_LINES = /^(?:[\x20-\x7e]+\n)+$/;

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
