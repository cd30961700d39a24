import { MlfsError, messageOf } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { quoteName } from '../../visible-text.ts';
import { NAME_LENGTH, nameStart } from '../name-length.ts';
import type { ZipEntry } from '../zip/entry.ts';
import { readEntry } from '../zip/read-entry.ts';

/** Maximum size; the graph of an exported program with tens of thousands of nodes fits. */
const JSON_BYTES = 32 * 1024 * 1024;

export type JsonObject = { readonly [key: string]: unknown };

/** Reads an entry as a JSON object. Throws ERR_MLFS_FORMAT when it is not one. */
export async function readJsonRecord(source: ByteSource, entry: ZipEntry): Promise<JsonObject> {
  const text = (await readEntry(source, entry, JSON_BYTES)).toString('utf8');
  const long = longKey(text);
  if (long !== undefined) {
    throw new MlfsError(
      'ERR_MLFS_LIMIT',
      `${source.path}: entry ${quoteName(entry.name)} has a key of more than ${NAME_LENGTH} characters: ${quoteName(nameStart(long))}`,
      { path: source.path },
    );
  }
  try {
    return objectOf(JSON.parse(text));
  } catch (cause) {
    const reason = messageOf(cause);
    throw new MlfsError(
      'ERR_MLFS_FORMAT',
      `${source.path}: entry ${quoteName(entry.name)} is not JSON: ${reason}`,
      {
        path: source.path,
        cause,
      },
    );
  }
}

/**
 * The first key that is longer than a name may be. It is looked for before JSON.parse makes properties of the keys: thousands of long ones of one
 * length would take it minutes. Text that is not JSON is left to JSON.parse.
 */
function longKey(text: string): string | undefined {
  for (let open = text.indexOf('"'); open >= 0; ) {
    const close = endOfString(text, open);
    if (close < 0) return undefined;
    if (close - open - 1 > NAME_LENGTH && isKey(text, close + 1)) {
      const key = parsed(text.slice(open, close + 1));
      if (key.length > NAME_LENGTH) return key;
    }
    open = text.indexOf('"', close + 1);
  }
  return undefined;
}

/** Index of the quote that closes the string, -1 when there is none. */
function endOfString(text: string, open: number): number {
  for (let quote = text.indexOf('"', open + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return quote;
  }
  return -1;
}

function isKey(text: string, at: number): boolean {
  let index = at;
  while (index < text.length && ' \t\r\n'.includes(text[index] as string)) index++;
  return text[index] === ':';
}

/** Empty for text that is not a JSON string. */
function parsed(quoted: string): string {
  try {
    return String(JSON.parse(quoted));
  } catch {
    return '';
  }
}

/** A field as an object; an empty one when it is something else. */
export function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

export function arrayOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

/** A number, also one in quotes as protobuf writes int64; NaN for anything else. */
export function numberOf(value: unknown, otherwise: number): number {
  if (value === undefined) return otherwise;
  return typeof value === 'number' || typeof value === 'string' ? Number(value) : Number.NaN;
}
