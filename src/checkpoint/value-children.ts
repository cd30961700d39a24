import { MODULE_PARTS } from './modules.ts';
import { floatRepr, valueRepr } from './pickle/python-repr.ts';
import {
  PyDict,
  PyFloat,
  PyGlobal,
  type PyList,
  PyObject,
  type PySet,
  PyTuple,
  type Value,
} from './pickle/values.ts';
import type { Storage, Tensor } from './tensor.ts';

/** A value that contains others. */
export type Container = PyList | PyTuple | PySet | PyDict | PyObject;

/** Maximum length of a key's text; longer than any file's name. */
const KEY_LENGTH = 1024;
/** Values looked at for a key that is a tuple: more do not fit into its length. */
const KEY_VALUES = 64;

/** A dict's key as a path's part: strings as they are, the rest as Python prints it. */
export function keyText(key: Value): string {
  if (typeof key === 'string') return key;
  if (key === null) return 'None';
  if (typeof key === 'boolean') return key ? 'True' : 'False';
  if (typeof key === 'number' || typeof key === 'bigint') return String(key);
  if (key instanceof PyFloat) return floatRepr(key.value);
  if (key instanceof PyGlobal) return key.path;
  return valueRepr(key, { values: KEY_VALUES, depth: 8, text: KEY_LENGTH }).slice(0, KEY_LENGTH);
}

export function isTensor(value: Value | undefined): value is Tensor {
  return typeof value === 'object' && value !== null && value.type === 'tensor';
}

export function isStorage(value: Value | undefined): value is Storage {
  return typeof value === 'object' && value !== null && value.type === 'storage';
}

/** Number of direct children. */
export function sizeOf(container: Container): number {
  if (container instanceof PyDict) return container.entries.length;
  if (!(container instanceof PyObject)) return container.items.length;
  const { args, listItems, dictItems } = container;
  const given = args instanceof PyTuple ? args.items.length : 1;
  return 1 + given + (listItems?.length ?? 0) + (dictItems?.entries.length ?? 0);
}

/** Values side by side in a container: of a dict with their keys, of the others with their places, or one with a step of its own. */
export type Row =
  | { readonly entries: readonly (readonly [key: Value, value: Value])[] }
  | { readonly items: readonly Value[]; readonly prefix?: '<arg' }
  | { readonly step: string; readonly value: Value };

/** The direct children of a container, in the order of its paths. Nothing is copied, because a forged file has tens of millions of values. */
export function rowsOf(container: Container): Row[] {
  if (container instanceof PyDict) {
    const rows: Row[] = [container];
    if (container.attributes !== undefined) rows.push({ step: '<state>', value: container.attributes });
    return rows;
  }
  if (!(container instanceof PyObject)) return [container];
  const { callable, args, kwargs, listItems, dictItems, state } = container;
  const rows: Row[] = [];
  if (callable instanceof PyObject) rows.push({ step: '<callable>', value: callable });
  rows.push(
    args instanceof PyTuple ? { items: args.items, prefix: '<arg' } : { step: '<args>', value: args },
  );
  if (kwargs !== undefined) rows.push({ step: '<kwargs>', value: kwargs });
  if (listItems !== undefined) rows.push({ items: listItems });
  if (dictItems !== undefined) rows.push(dictItems);
  if (state !== undefined) rows.push({ step: '<state>', value: state });
  return rows;
}

/** Number of values in a row. */
export function rowLength(row: Row): number {
  if ('entries' in row) return row.entries.length;
  return 'items' in row ? row.items.length : 1;
}

/** The value at a place of a row, when it is, or may lead to, a tensor: a tensor, or a container that is not empty. */
export function partAt(row: Row, index: number): Container | Tensor | undefined {
  const value = 'entries' in row ? row.entries[index]?.[1] : 'items' in row ? row.items[index] : row.value;
  return isPart(value) ? value : undefined;
}

/** What leads to it: `keyText` of the step is the path's part. It is not made here, because most values lead nowhere. */
export function stepAt(row: Row, index: number): Value {
  if ('entries' in row) return row.entries[index]?.[0] as Value;
  if (!('items' in row)) return row.step;
  return row.prefix === undefined ? index : `<arg${index}>`;
}

/** A step of a path that only the pickle needs. */
export function isPlumbing(part: string | undefined): boolean {
  return part !== undefined && /^<(?:state|args|kwargs|callable|arg\d+)>$/.test(part);
}

/** A step right behind such a one that no name has either: a module's own dict of parameters; or one of the two dicts of an object with slots. */
export function isWithinPlumbing(path: readonly string[], index: number): boolean {
  const part = path[index] as string;
  if (!isPlumbing(path[index - 1])) return false;
  return MODULE_PARTS.has(part) || (/^[01]$/.test(part) && index + 1 < path.length);
}

/** Calls `visit` for the children that are tensors, and for the containers that are not empty. */
export function visitParts(
  container: Container,
  visit: (step: Value, child: Container | Tensor) => void,
): void {
  for (const row of rowsOf(container)) {
    const length = rowLength(row);
    for (let index = 0; index < length; index++) {
      const part = partAt(row, index);
      if (part !== undefined) visit(stepAt(row, index), part);
    }
  }
}

/** A tensor, or a container with something in it. */
function isPart(value: Value | undefined): value is Container | Tensor {
  if (typeof value !== 'object' || value === null) return false;
  switch (value.type) {
    case 'tensor':
    case 'object':
      return true;
    case 'list':
    case 'tuple':
    case 'set':
      return value.items.length > 0;
    case 'dict':
      return value.entries.length > 0 || value.attributes !== undefined;
    default:
      return false;
  }
}

export function isContainer(value: Value | undefined): value is Container {
  if (typeof value !== 'object' || value === null) return false;
  const { type } = value;
  return type === 'dict' || type === 'tuple' || type === 'list' || type === 'object' || type === 'set';
}
