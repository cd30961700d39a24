/**
 * An object tree as JSON for people and programs to read. Dicts are objects, lists and tuples arrays; what JSON has no word for
 * is an object with a `$` key: `$tensor`, `$storage`, `$global`, `$object`, `$numpy`, `$set`, `$bytes`, `$items` (a dict with
 * keys that print alike).
 * A container that contains itself, and a large one that was already written, is `{"$ref": path}`; what is beyond the bounds
 * of size and depth is `{"$omitted": why}`. Ints beyond 2^53 and floats that JSON has no number for are strings.
 */
import { joinedBytes } from '../storage/joined-bytes.ts';
import { visibleJson } from '../visible-text.ts';
import { NAME_LENGTH } from './name-length.ts';
import { type DescribedArray, describedArray, describedElements } from './numpy/described.ts';
import type { Element } from './numpy/elements.ts';
import { type NumpyScalar, numpyScalar } from './numpy/scalar.ts';
import { floatRepr } from './pickle/python-repr.ts';
import {
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  type PyList,
  PyObject,
  PySet,
  PyTuple,
  type Value,
} from './pickle/values.ts';
import type { Storage, Tensor } from './tensor.ts';
import { isContainer, isTensor, keyText } from './value-children.ts';

export interface JsonOptions {
  /** A tensor's name; by default the path of its first place in the tree, as in `Checkpoint.tensors`. */
  readonly nameOf?: (tensor: Tensor) => string | undefined;
  /** Approximate size at which the text is cut, with a note that it was. */
  readonly maxBytes?: number;
  /** NumPy's numbers, bools and texts are written as such, without their dtype. */
  readonly plainScalars?: boolean;
}

const MAX_BYTES = 32 * 1024 * 1024;
const MAX_DEPTH = 400;
const MAX_STRING = 64 * 1024;
/** Of longer bytes the first are shown. */
export const SHOWN_BYTES = 32;
/** A shared container whose text is longer than this is written once. */
const REPEATABLE = 200;
/** A NumPy array with more elements is described by its size. */
const SHOWN_ELEMENTS = 64;
/** A field of an object takes at least as many bytes: `"": 0, `. */
const LEAST_FIELD = 6;
/** An array or object that fits is written on one line. */
const LINE = 96;

/** The JSON text of a value, indented by two, without a newline at the end. Blocks the event loop, so it is for small values. */
export function valueToJson(value: Value, options: JsonOptions = {}): string {
  return wholeJson(value, options).text;
}

/** The same, with whether anything was omitted because of the bounds. */
export function wholeJson(
  value: Value,
  options: JsonOptions = {},
): { readonly text: string; readonly cut: boolean } {
  const writer = new JsonWriter(options);
  const work = writer.value(value, { pointer: [], names: [] }, '');
  for (;;) {
    const { done, value: text } = work.next();
    if (done === true) return { text: piecesOf(text).join(''), cut: writer.cut };
  }
}

/** The JSON of a value as bytes, with a newline at the end. Yields between its parts, so that it can be written in slices. */
export function* jsonDocument(value: Value, options: JsonOptions = {}): Generator<void, Uint8Array> {
  const text = yield* new JsonWriter(options).value(value, { pointer: [], names: [] }, '');
  const bytes: Buffer[] = [];
  for (const piece of piecesOf(text)) {
    bytes.push(Buffer.from(piece));
    yield;
  }
  bytes.push(Buffer.from('\n'));
  return yield* joinedBytes(bytes);
}

/** Work that yields between its parts. */
type Slices<T> = Generator<void, T>;
/** Keys or items processed between two yields. */
const SLICE = 512;

/** A text of more than `PIECE` characters, in pieces: joining it at each level that it is nested in would copy it as often. */
class LongText {
  readonly pieces: string[] = [];
  length = 0;

  add(text: Text): void {
    this.length += text.length;
    for (const piece of piecesOf(text)) {
      const last = this.pieces.length - 1;
      if (last >= 0 && (this.pieces[last] as string).length < PIECE && piece.length < PIECE) {
        this.pieces[last] += piece;
      } else {
        this.pieces.push(piece);
      }
    }
  }
}

const PIECE = 16 * 1024;

type Text = string | LongText;

function piecesOf(text: Text): readonly string[] {
  return typeof text === 'string' ? [text] : text.pieces;
}

function* joined(open: string, parts: readonly Text[], between: string, close: string): Slices<Text> {
  const long = new LongText();
  long.add(open);
  for (let index = 0; index < parts.length; index++) {
    if (index > 0) long.add(between);
    long.add(parts[index] as Text);
    if (index % SLICE === SLICE - 1) yield;
  }
  long.add(close);
  return long.pieces.length === 1 ? (long.pieces[0] as string) : long;
}

/** Where the writer is: in the document, and in the object tree. */
interface Place {
  readonly pointer: string[];
  readonly names: string[];
}

class JsonWriter {
  readonly #options: JsonOptions;
  /** Containers that are being written, and large ones that were, by their path. */
  readonly #places = new Map<Value, string>();
  #bytesLeft: number;
  #cut = false;

  constructor(options: JsonOptions) {
    this.#options = options;
    this.#bytesLeft = options.maxBytes ?? MAX_BYTES;
  }

  /** Whether something was left out for its size or depth. */
  get cut(): boolean {
    return this.#cut;
  }

  *value(value: Value, at: Place, indent: string): Slices<Text> {
    if (!isContainer(value)) return this.#spend(this.#leaf(value, at));
    const place = this.#places.get(value);
    if (place !== undefined) return this.#spend(`{"$ref": ${visibleJson(place)}}`);
    if (at.pointer.length > MAX_DEPTH) return this.#omitted(`nested deeper than ${MAX_DEPTH}`);
    if (this.#bytesLeft <= 0) return this.#omitted('the document is too large');
    this.#places.set(
      value,
      `#/${at.pointer.map((part) => part.replace(/~/g, '~0').replace(/\//g, '~1')).join('/')}`,
    );
    const text = yield* this.#container(value, at, indent);
    if (text.length <= REPEATABLE) this.#places.delete(value);
    return text;
  }

  *#container(value: Value, at: Place, indent: string): Slices<Text> {
    if (value instanceof PyDict) return yield* this.#dict(value, at, indent);
    if (value instanceof PyObject) return yield* this.#object(value, at, indent);
    if (value instanceof PySet)
      return yield* this.#fields([{ key: '$set', names: [], value: value.items }], 1, at, indent);
    return yield* this.#array((value as PyList | PyTuple).items, at, indent);
  }

  #leaf(value: Value, at: Place): string {
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return String(value);
    if (typeof value === 'bigint') return `"${value}"`;
    if (typeof value === 'string') return visibleJson(cut(value));
    if (value instanceof PyFloat) return floatJson(value.value);
    if (value instanceof PyGlobal) return line([['$global', value.path]]);
    if (value instanceof PyBytes) {
      return line([
        ['$bytes', value.bytes.length],
        ['hex', hexOf(value.bytes)],
      ]);
    }
    return isTensor(value) ? this.#tensor(value, at) : storageJson(value as Storage);
  }

  #tensor(tensor: Tensor, at: Place): string {
    return line([
      ['$tensor', this.#options.nameOf?.(tensor) ?? at.names.join('.')],
      ['dtype', tensor.dtype],
      ['shape', tensor.shape],
      ...(tensor.isParameter ? [['parameter', true] as const] : []),
      ...(tensor.requiresGrad ? [['requires_grad', true] as const] : []),
      ...(tensor.quantizer === undefined ? [] : [['quantizer', tensor.quantizer.scheme] as const]),
      ...(tensor.note === undefined ? [] : [['class', tensor.note] as const]),
    ]);
  }

  *#dict(dict: PyDict, at: Place, indent: string): Slices<Text> {
    // Entries for which there is no room are not visited.
    const count = Math.min(dict.entries.length, Math.ceil(this.#bytesLeft / LEAST_FIELD));
    const fields: Field[] = [];
    const keys = new Set<string>();
    for (let index = 0; index < count; index++) {
      const [key, value] = dict.entries[index] as [Value, Value];
      const name = keyText(key);
      if (name.length <= NAME_LENGTH) keys.add(name);
      fields.push({ key: name.startsWith('$') ? `$${name}` : name, names: [name], value });
      if (index % SLICE === SLICE - 1) yield;
    }
    if (keys.size !== count) {
      const pairs: PyTuple[] = [];
      for (let index = 0; index < count; index++) {
        pairs.push(new PyTuple(dict.entries[index] as [Value, Value]));
        if (index % SLICE === SLICE - 1) yield;
      }
      return yield* this.#fields([{ key: '$items', names: [], value: pairs }], 1, at, indent);
    }
    if (dict.attributes !== undefined) {
      fields.push({ key: '$attributes', names: ['<state>'], value: dict.attributes });
    }
    return yield* this.#fields(fields, fields.length + dict.entries.length - count, at, indent);
  }

  *#object(object: PyObject, at: Place, indent: string): Slices<Text> {
    const scalar = numpyScalar(object);
    if (scalar !== undefined) return this.#spend(this.#scalar(scalar));
    const array = describedArray(object);
    if (array !== undefined) return this.#spend(this.#numpy(array));
    const { args, kwargs, listItems, dictItems, state } = object;
    const fields: Field[] = [
      { key: '$object', names: ['<callable>'], value: object.className ?? object.callable },
    ];
    if (!(args instanceof PyTuple)) fields.push({ key: 'args', names: ['<args>'], value: args });
    else if (args.items.length > 0) {
      fields.push({ key: 'args', names: [], value: args.items, nameOf: (index) => `<arg${index}>` });
    }
    if (kwargs !== undefined) fields.push({ key: 'kwargs', names: ['<kwargs>'], value: kwargs });
    if (listItems !== undefined) fields.push({ key: 'items', names: [], value: listItems });
    if (dictItems !== undefined) fields.push({ key: 'entries', names: [], value: dictItems });
    if (state !== undefined) fields.push({ key: 'state', names: ['<state>'], value: state });
    return yield* this.#fields(fields, fields.length, at, indent);
  }

  #scalar({ dtype, bytes, value }: NumpyScalar): string {
    // A text of zeros is read to its end and shows nothing.
    this.#bytesLeft -= bytes.length;
    if (value === undefined) {
      return line([
        ['$numpy', dtype.name],
        ['bytes', bytes.length],
        ['hex', hexOf(bytes)],
      ]);
    }
    const isPlain = dtype.code !== 'M8' && dtype.code !== 'm8' && typeof value !== 'object';
    const shown = elementJson(value, dtype.code);
    return this.#options.plainScalars === true && isPlain
      ? shown
      : `{"$numpy": ${visibleJson(dtype.name)}, "value": ${shown}}`;
  }

  #numpy(array: DescribedArray): string {
    const { className, dtype, shape, fortran, bytes } = array;
    const elements = describedElements(array, SHOWN_ELEMENTS);
    // Python 2's bytes may have been made of a text.
    this.#bytesLeft -= elements === undefined ? bytes.length >>> 6 : bytes.length;
    const fields = [
      `"$numpy": ${visibleJson(dtype.name)}`,
      ...(className === 'numpy.ndarray' ? [] : [`"class": ${visibleJson(className)}`]),
      `"shape": [${shape.join(', ')}]`,
      ...(fortran ? ['"fortran": true'] : []),
      elements === undefined
        ? `"bytes": ${bytes.length}`
        : `"values": [${elements.map((element) => elementJson(element, dtype.code)).join(', ')}]`,
    ];
    return `{${fields.join(', ')}}`;
  }

  *#array(
    items: readonly Value[],
    at: Place,
    indent: string,
    nameOf: (index: number) => string = String,
  ): Slices<Text> {
    const writer = this;
    return yield* this.#join('[', ']', items.length, at, indent, function* (index, inner) {
      return yield* writer.#inside(at, String(index), [nameOf(index)], items[index] as Value, inner);
    });
  }

  /** `count` includes the fields for which there is no room. */
  *#fields(fields: readonly Field[], count: number, at: Place, indent: string): Slices<Text> {
    const writer = this;
    return yield* this.#join('{', '}', count, at, indent, function* (index, inner) {
      const { key, names = [key], value, nameOf } = fields[index] as Field;
      const text = yield* writer.#inside(at, key, names, value, inner, nameOf);
      return yield* joined(`${writer.#spend(visibleJson(cut(key)))}: `, [text], '', '');
    });
  }

  *#inside(
    at: Place,
    key: string,
    names: readonly string[],
    value: Value | readonly Value[],
    indent: string,
    nameOf?: (index: number) => string,
  ): Slices<Text> {
    at.pointer.push(key);
    at.names.push(...names);
    const text = Array.isArray(value)
      ? yield* this.#array(value, at, indent, nameOf)
      : yield* this.value(value as Value, at, indent);
    at.pointer.pop();
    at.names.length -= names.length;
    return text;
  }

  /** Puts the parts on one line if they fit, otherwise one per line; parts beyond the bounds are only counted. */
  *#join(
    open: '[' | '{',
    close: ']' | '}',
    count: number,
    at: Place,
    indent: string,
    part: (index: number, indent: string) => Slices<Text>,
  ): Slices<Text> {
    const inner = `${indent}  `;
    const parts: Text[] = [];
    let width = 0;
    let nested = false;
    for (let index = 0; index < count; index++) {
      if (this.#bytesLeft <= 0) {
        const rest = `${count - index} more`;
        this.#cut = true;
        parts.push(open === '[' ? line([['$omitted', rest]]) : `"$omitted": ${visibleJson(rest)}`);
        nested = true;
        break;
      }
      const text = yield* part(index, inner);
      // So many do not fit on a line: each has one of its own.
      if (index >= LINE / 3) this.#bytesLeft -= inner.length;
      parts.push(text);
      width += text.length + 2;
      nested ||= /^[[{]/.test(piecesOf(text)[0] ?? '');
      yield;
    }
    const oneLine =
      width <= LINE &&
      at.pointer.length > 0 &&
      !parts.some((text) => text instanceof LongText || text.includes('\n'));
    if (oneLine || parts.length === 0) return `${open}${parts.join(', ')}${close}`;
    if (open === '[' && !nested) {
      return yield* joined('[\n', yield* filled(parts as string[], inner), '\n', `\n${indent}]`);
    }
    return yield* joined(`${open}\n${inner}`, parts, `,\n${inner}`, `\n${indent}${close}`);
  }

  #omitted(why: string): string {
    this.#cut = true;
    return this.#spend(line([['$omitted', why]]));
  }

  #spend(text: string): string {
    this.#bytesLeft -= text.length + 4;
    return text;
  }
}

interface Field {
  readonly key: string;
  /** The parts of the object tree's path that the field stands for; the key by default. */
  readonly names?: readonly string[];
  readonly value: Value | readonly Value[];
  /** What the items of an array are called in the tree's paths; their index by default. */
  readonly nameOf?: (index: number) => string;
}

function storageJson(storage: Storage): string {
  return line([
    ['$storage', storage.key],
    ...(storage.dtype === undefined ? [] : [['dtype', storage.dtype] as const]),
    ['nbytes', storage.nbytes],
    ['location', storage.location],
  ]);
}

function line(fields: readonly (readonly [string, string | number | boolean | readonly number[]])[]): string {
  const text = fields.map(([key, value]) => {
    const shown = typeof value === 'object' ? `[${value.join(', ')}]` : visibleJson(value);
    return `${visibleJson(key)}: ${shown}`;
  });
  return `{${text.join(', ')}}`;
}

function floatJson(value: number): string {
  if (Number.isNaN(value)) return '"NaN"';
  if (!Number.isFinite(value)) return value > 0 ? '"Infinity"' : '"-Infinity"';
  return floatRepr(value);
}

function cut(text: string): string {
  return text.length <= MAX_STRING ? text : `${text.slice(0, MAX_STRING)}… (${text.length} characters)`;
}

function hexOf(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.subarray(0, SHOWN_BYTES)).toString('hex');
  return bytes.length > SHOWN_BYTES ? `${hex}…` : hex;
}

/** Integers have all their digits, also beyond 2^53. */
function elementJson(value: Element, code: string): string {
  if (typeof value === 'string') return visibleJson(cut(value));
  if (typeof value === 'object') return `[${value.map(floatJson).join(', ')}]`;
  return typeof value === 'number' && code.startsWith('f') ? floatJson(value) : String(value);
}

/** Lays out scalars, as many per line as fit. */
function* filled(parts: readonly string[], indent: string): Slices<string[]> {
  const lines: string[] = [];
  let text = '';
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index] as string;
    const item = index === parts.length - 1 ? part : `${part},`;
    if (text !== '' && text.length + item.length + 1 > LINE) {
      lines.push(indent + text);
      text = '';
    }
    text += text === '' ? item : ` ${item}`;
    if (index % SLICE === SLICE - 1) yield;
  }
  lines.push(indent + text);
  return lines;
}
