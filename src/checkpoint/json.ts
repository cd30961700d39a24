/**
 * An object tree as JSON for people and programs to read. Dicts are objects, lists and tuples arrays; what JSON has no word for
 * is an object with a `$` key: `$tensor`, `$storage`, `$global`, `$object`, `$set`, `$bytes`, `$items` (a dict whose keys are no names).
 * A container that contains itself, and a large one that was already written, is `{"$ref": path}`; what is beyond the bounds
 * of size and depth is `{"$omitted": why}`. Ints beyond 2^53 and floats that are no numbers are strings.
 */
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
  /** What a tensor is called; by default its place in the tree. */
  readonly nameOf?: (tensor: Tensor) => string | undefined;
  /** The text is cut, and says so, at about this size. */
  readonly maxBytes?: number;
}

const MAX_BYTES = 64 * 1024 * 1024;
const MAX_DEPTH = 400;
const MAX_STRING = 64 * 1024;
const SHOWN_BYTES = 32;
/** A shared container whose text is longer than this is written once. */
const REPEATABLE = 200;
/** An array or object that fits is written on one line. */
const LINE = 96;

/** The JSON text of a value, indented by two, without a newline at the end. */
export function valueToJson(value: Value, options: JsonOptions = {}): string {
  return new JsonWriter(options).value(value, [], '');
}

class JsonWriter {
  readonly #options: JsonOptions;
  /** Containers that are being written, and large ones that were, by their path. */
  readonly #places = new Map<Value, string>();
  #bytesLeft: number;

  constructor(options: JsonOptions) {
    this.#options = options;
    this.#bytesLeft = options.maxBytes ?? MAX_BYTES;
  }

  value(value: Value, path: string[], indent: string): string {
    if (!isContainer(value)) return this.#spend(this.#leaf(value, path));
    const place = this.#places.get(value);
    if (place !== undefined) return this.#spend(`{"$ref": ${JSON.stringify(place)}}`);
    if (path.length > MAX_DEPTH) return this.#omitted(`nested deeper than ${MAX_DEPTH}`);
    if (this.#bytesLeft <= 0) return this.#omitted('the document is too large');
    this.#places.set(
      value,
      `#/${path.map((part) => part.replace(/~/g, '~0').replace(/\//g, '~1')).join('/')}`,
    );
    const text = this.#container(value, path, indent);
    if (text.length <= REPEATABLE) this.#places.delete(value);
    return text;
  }

  #container(value: Value, path: string[], indent: string): string {
    if (value instanceof PyDict) return this.#dict(value, path, indent);
    if (value instanceof PyObject) return this.#object(value, path, indent);
    if (value instanceof PySet) return this.#fields([['$set', value.items]], path, indent);
    return this.#array((value as PyList | PyTuple).items, path, indent);
  }

  #leaf(value: Value, path: readonly string[]): string {
    if (value === null || typeof value === 'boolean' || typeof value === 'number') return String(value);
    if (typeof value === 'bigint') return `"${value}"`;
    if (typeof value === 'string') return JSON.stringify(cut(value));
    if (value instanceof PyFloat) return floatJson(value.value);
    if (value instanceof PyGlobal) return line([['$global', value.path]]);
    if (value instanceof PyBytes) {
      const hex = Buffer.from(value.bytes.subarray(0, SHOWN_BYTES)).toString('hex');
      return line([
        ['$bytes', value.bytes.length],
        ['hex', value.bytes.length > SHOWN_BYTES ? `${hex}…` : hex],
      ]);
    }
    return isTensor(value) ? this.#tensor(value, path) : storageJson(value as Storage);
  }

  #tensor(tensor: Tensor, path: readonly string[]): string {
    return line([
      ['$tensor', this.#options.nameOf?.(tensor) ?? path.join('.')],
      ['dtype', tensor.dtype],
      ['shape', tensor.shape],
      ...(tensor.isParameter ? [['parameter', true] as const] : []),
      ...(tensor.requiresGrad ? [['requires_grad', true] as const] : []),
      ...(tensor.quantizer === undefined ? [] : [['quantizer', tensor.quantizer.scheme] as const]),
      ...(tensor.note === undefined ? [] : [['class', tensor.note] as const]),
    ]);
  }

  #dict(dict: PyDict, path: string[], indent: string): string {
    const keys = new Set(dict.entries.map(([key]) => keyText(key)));
    if (keys.size !== dict.entries.length) {
      const pairs = dict.entries.map((entry) => new PyTuple(entry));
      return this.#fields([['$items', pairs]], path, indent);
    }
    const fields = dict.entries.map(([key, value]): Field => {
      const text = keyText(key);
      return [text.startsWith('$') ? `$${text}` : text, value];
    });
    if (dict.attributes !== undefined) fields.push(['$attributes', dict.attributes]);
    return this.#fields(fields, path, indent);
  }

  #object(object: PyObject, path: string[], indent: string): string {
    const fields: Field[] = [['$object', object.className ?? object.callable]];
    if (!(object.args instanceof PyTuple && object.args.items.length === 0))
      fields.push(['args', object.args]);
    if (object.kwargs !== undefined) fields.push(['kwargs', object.kwargs]);
    if (object.listItems !== undefined) fields.push(['items', object.listItems]);
    if (object.dictItems !== undefined) fields.push(['entries', object.dictItems]);
    if (object.state !== undefined) fields.push(['state', object.state]);
    return this.#fields(fields, path, indent);
  }

  #array(items: readonly Value[], path: string[], indent: string): string {
    return this.#join('[', ']', items.length, path, indent, (index, inner) => {
      path.push(String(index));
      const text = this.value(items[index] as Value, path, inner);
      path.pop();
      return text;
    });
  }

  #fields(fields: readonly Field[], path: string[], indent: string): string {
    return this.#join('{', '}', fields.length, path, indent, (index, inner) => {
      const [key, value] = fields[index] as Field;
      path.push(key);
      const text = Array.isArray(value)
        ? this.#array(value, path, inner)
        : this.value(value as Value, path, inner);
      path.pop();
      return `${this.#spend(JSON.stringify(cut(key)))}: ${text}`;
    });
  }

  /** Parts on one line when they fit there, otherwise one a line; what the bounds leave no room for is counted. */
  #join(
    open: '[' | '{',
    close: ']' | '}',
    count: number,
    path: readonly string[],
    indent: string,
    part: (index: number, indent: string) => string,
  ): string {
    const inner = `${indent}  `;
    const parts: string[] = [];
    let width = 0;
    for (let index = 0; index < count; index++) {
      if (this.#bytesLeft <= 0) {
        const rest = `${count - index} more`;
        parts.push(open === '[' ? line([['$omitted', rest]]) : `"$omitted": ${JSON.stringify(rest)}`);
        break;
      }
      const text = part(index, inner);
      parts.push(text);
      width += text.length + 2;
    }
    const oneLine = width <= LINE && path.length > 0 && !parts.some((text) => text.includes('\n'));
    if (oneLine || parts.length === 0) return `${open}${parts.join(', ')}${close}`;
    this.#bytesLeft -= parts.length * inner.length;
    return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}`;
  }

  #omitted(why: string): string {
    return this.#spend(line([['$omitted', why]]));
  }

  #spend(text: string): string {
    this.#bytesLeft -= text.length + 4;
    return text;
  }
}

type Field = readonly [key: string, value: Value | readonly Value[]];

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
    const shown = typeof value === 'object' ? `[${value.join(', ')}]` : JSON.stringify(value);
    return `${JSON.stringify(key)}: ${shown}`;
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
