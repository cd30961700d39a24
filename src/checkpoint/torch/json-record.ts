import { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { quoteName } from '../../visible-text.ts';
import type { ZipEntry } from '../zip/entry.ts';
import { readEntry } from '../zip/read-entry.ts';

/** The graph of an exported program of tens of thousands of nodes. */
const JSON_BYTES = 32 * 1024 * 1024;

export type JsonObject = { readonly [key: string]: unknown };

/** An entry that is a JSON object. Throws ERR_MLFS_FORMAT when it is none. */
export async function readJsonRecord(source: ByteSource, entry: ZipEntry): Promise<JsonObject> {
  const text = (await readEntry(source, entry, JSON_BYTES)).toString('utf8');
  try {
    return objectOf(JSON.parse(text));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MlfsError(
      'ERR_MLFS_FORMAT',
      `${source.path}: entry ${quoteName(entry.name)} is no JSON: ${reason}`,
      {
        path: source.path,
        cause,
      },
    );
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
