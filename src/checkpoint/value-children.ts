import { floatRepr, valueRepr } from './pickle/python-repr.ts';
import { PyDict, PyFloat, PyGlobal, PyList, PyObject, PySet, PyTuple, type Value } from './pickle/values.ts';
import type { Storage, Tensor } from './tensor.ts';

/** A value with others inside. */
export type Container = PyList | PyTuple | PySet | PyDict | PyObject;

/** Longer than any file's name. */
const KEY_LENGTH = 1024;

/** A dict's key as a path's part: strings as they are, the rest as Python prints it. */
export function keyText(key: Value): string {
  if (typeof key === 'string') return key;
  if (key === null) return 'None';
  if (typeof key === 'boolean') return key ? 'True' : 'False';
  if (typeof key === 'number' || typeof key === 'bigint') return String(key);
  if (key instanceof PyFloat) return floatRepr(key.value);
  if (key instanceof PyGlobal) return key.path;
  return valueRepr(key).slice(0, KEY_LENGTH);
}

export function isTensor(value: Value | undefined): value is Tensor {
  return typeof value === 'object' && value !== null && value.type === 'tensor';
}

export function isStorage(value: Value | undefined): value is Storage {
  return typeof value === 'object' && value !== null && value.type === 'storage';
}

/** The children of a container, each with the path's parts that lead to it. */
export function* children(container: Container): Generator<[parts: readonly string[], child: Value]> {
  if (container instanceof PyDict) {
    for (const [key, value] of container.entries) yield [[keyText(key)], value];
    if (container.attributes !== undefined) yield [['<state>'], container.attributes];
  } else if (container instanceof PyObject) {
    if (container.callable instanceof PyObject) yield [['<callable>'], container.callable];
    yield* argumentsOf(container.args);
    if (container.kwargs !== undefined) yield [['<kwargs>'], container.kwargs];
    for (const [index, item] of (container.listItems ?? []).entries()) yield [[String(index)], item];
    for (const [key, value] of container.dictItems?.entries ?? []) yield [[keyText(key)], value];
    if (container.state !== undefined) yield [['<state>'], container.state];
  } else {
    for (const [index, item] of container.items.entries()) yield [[String(index)], item];
  }
}

export function isContainer(value: Value | undefined): value is Container {
  return (
    value instanceof PyDict ||
    value instanceof PyTuple ||
    value instanceof PyList ||
    value instanceof PyObject ||
    value instanceof PySet
  );
}

function* argumentsOf(args: Value): Generator<[parts: readonly string[], child: Value]> {
  if (!(args instanceof PyTuple)) yield [['<args>'], args];
  else for (const [index, item] of args.items.entries()) yield [[`<arg${index}>`], item];
}
