/**
 * What `str(model)` prints, from the pickle alone: the nested representation of a pickled `torch.nn.Module`, as torch 2.13
 * formats it, and of a TorchScript module. A class that is not known prints as `ClassName(…)` with its children.
 */

import { visible, visibleLines } from '../../visible-text.ts';
import { isModule, isScriptObject } from '../modules.ts';
import { PyDict, PyGlobal, type PyObject, type Value } from '../pickle/values.ts';
import { keyText } from '../value-children.ts';
import { extraRepr, ModuleAttributes } from './layer-repr.ts';

/** Real models are some twenty levels deep and print in a few hundred kilobytes. */
const MAX_DEPTH = 200;
/** Limit for one module with everything in it. */
const MAX_LENGTH = 2 * 1024 * 1024;
/** Characters laid out for all modules: each level indents what is inside it once more. */
const MAX_WORK = 64 * 1024 * 1024;
/** Children that are not modules, processed between two yields. */
const SLICE = 64;

/** Undefined when `root` is not a pickled module. Blocks the event loop. */
export function modelStr(root: Value): string | undefined {
  const work = modelStrInSlices(root);
  for (;;) {
    if (work === undefined) return undefined;
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** The same in parts, between which it yields. */
export function modelStrInSlices(root: Value): Generator<void, string> | undefined {
  if (isModule(root)) return new ModulePrinter().module(root, 0);
  return isScriptModule(root) ? new ModulePrinter().script(root, 0) : undefined;
}

class ModulePrinter {
  /** Shared modules are printed each time and represented once. */
  readonly #known = new Map<PyObject, string>();
  #left = MAX_WORK;

  *module(module: PyObject & { state: PyDict }, depth: number): Generator<void, string> {
    const known = this.#known.get(module);
    if (known !== undefined) return known;
    const className = module.className ?? '';
    const name = visible(className.slice(className.lastIndexOf('.') + 1));
    if (depth > MAX_DEPTH || this.#left <= 0) return `${name}(...)`;
    // A module inside itself: torch would recurse forever.
    this.#known.set(module, `${name}(...)`);
    const modules = module.state.get('_modules');
    const children = new Children();
    for (const [key, child] of modules instanceof PyDict ? modules.entries : []) {
      const text = isModule(child) ? yield* this.module(child, depth + 1) : unprintable(child);
      if (!children.add(visible(keyText(key)), text)) break;
      if (children.list.length % SLICE === 0) yield;
    }
    // Python prints some characters that have no glyph.
    const extra = visibleLines(extraRepr(className, new ModuleAttributes(module)) ?? '');
    return yield* this.#laidOut(module, className, name, extra, children);
  }

  /** `RecursiveScriptModule(original_name=…)`, as `str(torch.jit.load(…))` prints. */
  *script(module: PyObject & { state: Value }, depth: number): Generator<void, string> {
    const known = this.#known.get(module);
    if (known !== undefined) return known;
    const className = module.className ?? '';
    const originalName = `original_name=${visible(className.slice(className.lastIndexOf('.') + 1))}`;
    const short = `RecursiveScriptModule(${originalName}...)`;
    if (depth > MAX_DEPTH || this.#left <= 0) return short;
    this.#known.set(module, short);
    const children = new Children();
    for (const [key, child] of module.state instanceof PyDict ? module.state.entries : []) {
      if (!isScriptModule(child)) continue;
      if (!children.add(visible(keyText(key)), yield* this.script(child, depth + 1))) break;
    }
    return yield* this.#laidOut(module, '', 'RecursiveScriptModule', originalName, children);
  }

  *#laidOut(
    module: PyObject,
    className: string,
    name: string,
    extra: string,
    children: Children,
  ): Generator<void, string> {
    const text = layout(className, name, extra, children.list);
    this.#left -= text.length;
    this.#known.set(module, text);
    yield;
    return text;
  }
}

/** The children of one module: what would make it too long is `...`. */
class Children {
  readonly list: [key: string, text: string][] = [];
  #left = MAX_LENGTH;

  /** Whether there may be more. */
  add(key: string, text: string): boolean {
    this.#left -= key.length + text.length + 2 * newlines(text);
    if (this.#left > 0) this.list.push([key, text]);
    else this.list.push([key.slice(0, 100), '...']);
    return this.#left > 0;
  }
}

function newlines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

/** Whether a script object is a module; objects of custom C++ classes are not. */
function isScriptModule(value: Value | undefined): value is PyObject & { state: Value } {
  return isScriptObject(value) && !value.className?.startsWith('__torch__.torch.classes.');
}

/** `Module.__repr__`, and `ModuleList.__repr__` where equal neighbours are counted. */
function layout(
  className: string,
  name: string,
  extra: string,
  children: readonly [string, string][],
): string {
  const isList = className === 'torch.nn.modules.container.ModuleList';
  if (isList)
    return children.length === 0 ? `${name}()` : `${name}(\n  ${repeatedLines(children).join('\n  ')}\n)`;
  const extraLines = extra === '' ? [] : extra.split('\n');
  if (extraLines.length <= 1 && children.length === 0) return `${name}(${extra})`;
  const childLines = children.map(([key, text]) => `(${key}): ${indentRest(text)}`);
  return `${name}(\n  ${[...extraLines, ...childLines].join('\n  ')}\n)`;
}

/** `(0-5): 6 x Block(…)` for equal neighbours of a ModuleList; its children are numbered, whatever their keys. */
function repeatedLines(children: readonly [string, string][]): string[] {
  const lines: string[] = [];
  for (let first = 0; first < children.length; ) {
    const text = children[first]?.[1] as string;
    let last = first;
    while (children[last + 1]?.[1] === text) last++;
    const count = last - first + 1;
    lines.push(indentRest(count === 1 ? `(${first}): ${text}` : `(${first}-${last}): ${count} x ${text}`));
    first = last + 1;
  }
  return lines;
}

function indentRest(text: string): string {
  return text.replaceAll('\n', '\n  ');
}

/** A child that is not a module with a state: None, or an object with its own way of pickling. */
function unprintable(value: Value): string {
  if (value === null) return 'None';
  if (value instanceof PyGlobal) return `${visible(value.name)}()`;
  const className = (value as Partial<PyObject>).className ?? '...';
  return `${visible(className.slice(className.lastIndexOf('.') + 1))}()`;
}
