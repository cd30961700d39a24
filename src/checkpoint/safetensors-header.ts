import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { quoteName } from '../visible-text.ts';
import { JsonCursor } from './json-cursor.ts';

/** One tensor as the header describes it. Offsets are relative to the data section. */
export interface HeaderTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly tensors: readonly HeaderTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Real files are shards of some thousand tensors. With the header's length this limit bounds the cost of a header. */
export const MAX_TENSORS = 131_072;
const MAX_METADATA = 65_536;
/** What torch's iterators can address. */
const MAX_RANK = 64;
/** Limits for all tensors together: 131,072 tensors of rank 4 with names of 100 characters take a third of each. */
const MAX_DIMENSIONS = 1_572_864;
const MAX_NAME_CHARACTERS = 40_000_000;
/** Tensors parsed between two turns of the event loop. */
const SLICE = 4096;

/**
 * Parses the JSON header of a safetensors file by its schema, so that a hostile one cannot make anything but tensors and strings, and
 * few of them. Unlike JSON.parse it sees duplicate keys. `base` is where the header starts in the file, for messages.
 */
export async function parseSafetensorsHeader(
  bytes: Buffer,
  path: string,
  base: number,
): Promise<SafetensorsHeader> {
  const json = new JsonCursor(bytes, path, base);
  if (!isUtf8(bytes)) throw json.error('the header is not UTF-8');
  const tensors: HeaderTensor[] = [];
  const names = new Set<string>();
  let dimensions = 0;
  let nameBytes = 0;
  let metadata: Record<string, string> = {};
  const place = () => 'the header';
  json.open('{', place);
  while (json.item('}')) {
    const name = json.key(place);
    if (names.has(name)) throw json.twice(name, place);
    names.add(name);
    if (name === '__metadata__') {
      metadata = readMetadata(json);
      continue;
    }
    if (tensors.length === MAX_TENSORS) throw json.limit(`more than ${MAX_TENSORS} tensors`);
    const tensor = readTensor(json, name);
    dimensions += tensor.shape.length;
    nameBytes += name.length;
    if (dimensions > MAX_DIMENSIONS) throw json.limit(`more than ${MAX_DIMENSIONS} dimensions in all`);
    if (nameBytes > MAX_NAME_CHARACTERS)
      throw json.limit(`tensor names of more than ${MAX_NAME_CHARACTERS} characters in all`);
    tensors.push(tensor);
    if (tensors.length % SLICE === 0) await nextTurn();
  }
  json.end();
  return { tensors, metadata };
}

function readMetadata(json: JsonCursor): Record<string, string> {
  const entries = new Map<string, string>();
  let read = 0;
  const place = () => '__metadata__';
  // Some writers express "no metadata" as null, and the official reader accepts it.
  if (json.takeNull()) return {};
  json.open('{', place);
  while (json.item('}')) {
    if (read++ === MAX_METADATA) throw json.limit(`more than ${MAX_METADATA} keys in __metadata__`);
    const key = json.key(place);
    // The last of duplicate keys counts, as in the official reader: nothing depends on metadata.
    entries.set(
      key,
      json.string(() => `__metadata__ ${quoteName(key)}`),
    );
  }
  return Object.fromEntries(entries);
}

function readTensor(json: JsonCursor, name: string): HeaderTensor {
  const place = () => `tensor ${quoteName(name)}`;
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  json.open('{', place);
  while (json.item('}')) {
    const key = json.key(place);
    const inPlace = () => `${place()}: ${key}`;
    if (key === 'dtype') {
      if (dtype !== undefined) throw json.twice(key, place);
      dtype = json.string(inPlace);
    } else if (key === 'shape') {
      if (shape !== undefined) throw json.twice(key, place);
      shape = json.integers(inPlace, MAX_RANK);
    } else if (key === 'data_offsets') {
      if (offsets !== undefined) throw json.twice(key, place);
      offsets = json.integers(inPlace, 2);
    } else {
      json.skip();
    }
  }
  const missing =
    dtype === undefined ? 'dtype' : shape === undefined ? 'shape' : 'data_offsets of two numbers';
  const [begin, end] = offsets ?? [];
  if (dtype === undefined || shape === undefined || begin === undefined || end === undefined) {
    throw json.error(`${place()}: there is no ${missing}`);
  }
  return { name, dtype, shape, begin, end };
}
