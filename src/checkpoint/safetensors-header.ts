import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { quoteName } from '../visible-text.ts';
import { JsonCursor } from './json-cursor.ts';
import { PyDict } from './pickle/values.ts';
import { PlainMembers } from './safetensors-plain.ts';

/** The tensors as the header describes them, in columns and in its order. Offsets are relative to the data section. */
export interface HeaderTensors {
  /** Names by their places; the values are to be set. */
  readonly byName: PyDict;
  readonly dtypes: string[];
  readonly shapes: (readonly number[])[];
  readonly begins: number[];
  readonly ends: number[];
}

export interface SafetensorsHeader {
  readonly tensors: HeaderTensors;
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
 * few of them. Unlike JSON.parse it sees duplicate keys. `base` is where the header starts in the file, for messages. `plain` reads members at
 * once; a test passes one that reads none.
 */
export async function parseSafetensorsHeader(
  bytes: Buffer,
  path: string,
  base: number,
  plain = new PlainMembers(bytes),
): Promise<SafetensorsHeader> {
  const json = new JsonCursor(bytes, path, base);
  if (!isUtf8(bytes)) throw json.error('the header is not UTF-8');
  const byName = new PyDict();
  const tensors: HeaderTensors = { byName, dtypes: [], shapes: [], begins: [], ends: [] };
  let dimensions = 0;
  let nameCharacters = 0;
  let metadata: Record<string, string> | undefined;
  const place = () => 'the header';
  json.open('{', place);
  while (json.item('}')) {
    const count = tensors.dtypes.length;
    const isPlain = plain.read(json.position) && plain.name !== METADATA;
    const name = isPlain ? plain.name : json.key(place);
    if (name === METADATA) {
      if (metadata !== undefined) throw json.twice(name, place);
      metadata = readMetadata(json);
      continue;
    }
    byName.set(name, null);
    if (byName.entries.length === count) {
      if (isPlain) json.key(place);
      throw json.twice(name, place);
    }
    if (count === MAX_TENSORS) throw json.limit(`more than ${MAX_TENSORS} tensors`);
    if (isPlain) json.continueAt(plain.at);
    const tensor: ReadTensor = isPlain ? plain : readTensor(json, name);
    dimensions += tensor.shape.length;
    nameCharacters += tensor.name.length;
    if (dimensions > MAX_DIMENSIONS) throw json.limit(`more than ${MAX_DIMENSIONS} dimensions in all`);
    if (nameCharacters > MAX_NAME_CHARACTERS)
      throw json.limit(`tensor names of more than ${MAX_NAME_CHARACTERS} characters in all`);
    tensors.dtypes.push(tensor.dtype);
    tensors.shapes.push(tensor.shape);
    tensors.begins.push(tensor.begin);
    tensors.ends.push(tensor.end);
    if (count % SLICE === SLICE - 1) await nextTurn();
  }
  json.end();
  return { tensors, metadata: metadata ?? {} };
}

/** The one key of a header that is not a tensor. */
const METADATA = '__metadata__';

/** What a member says that is not written as the safetensors library writes it. */
interface ReadTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
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

function readTensor(json: JsonCursor, name: string): ReadTensor {
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
