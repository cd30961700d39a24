/**
 * What `str(model)` prints, from the pickle alone: the nested representation of a pickled `torch.nn.Module`, as torch 2.13
 * formats it, and of a TorchScript module. A class that is not known prints as `ClassName(…)` with its children.
 */

import { visible } from '../../visible-text.ts';
import { isModule, isScriptObject } from '../module-names.ts';
import { PyDict, PyGlobal, type PyObject, type Value } from '../pickle/values.ts';
import { keyText } from '../value-children.ts';
import { extraRepr, ModuleAttributes } from './layer-repr.ts';

/** Real models are some twenty levels deep and print in a few hundred kilobytes. */
const MAX_DEPTH = 200;
const MAX_LENGTH = 2 * 1024 * 1024;

/** undefined when `root` is no pickled module. */
export function modelStr(root: Value): string | undefined {
  if (isModule(root)) return new ModulePrinter().module(root, 0);
  return isScriptModule(root) ? new ModulePrinter().script(root, 0) : undefined;
}

class ModulePrinter {
  /** Shared modules are printed each time and represented once. */
  readonly #known = new Map<PyObject, string>();

  module(module: PyObject & { state: PyDict }, depth: number): string {
    const known = this.#known.get(module);
    if (known !== undefined) return known;
    const className = module.className ?? '';
    const name = visible(className.slice(className.lastIndexOf('.') + 1));
    if (depth > MAX_DEPTH) return `${name}(...)`;
    // Printed again inside itself: torch would recurse for ever.
    this.#known.set(module, `${name}(...)`);
    const modules = module.state.get('_modules');
    const children: [string, string][] = [];
    let length = 0;
    for (const [key, child] of modules instanceof PyDict ? modules.entries : []) {
      const text = isModule(child) ? this.module(child, depth + 1) : unprintable(child);
      length += text.length;
      children.push([visible(keyText(key)), length > MAX_LENGTH ? '...' : text]);
      if (length > MAX_LENGTH) break;
    }
    const text = layout(className, name, extraRepr(className, new ModuleAttributes(module)) ?? '', children);
    this.#known.set(module, text);
    return text;
  }

  /** `RecursiveScriptModule(original_name=…)`, as `str(torch.jit.load(…))` prints. */
  script(module: PyObject & { state: Value }, depth: number): string {
    const known = this.#known.get(module);
    if (known !== undefined) return known;
    const className = module.className ?? '';
    const originalName = `original_name=${visible(className.slice(className.lastIndexOf('.') + 1))}`;
    if (depth > MAX_DEPTH) return `RecursiveScriptModule(${originalName}...)`;
    this.#known.set(module, `RecursiveScriptModule(${originalName}...)`);
    const children: [string, string][] = [];
    let length = 0;
    for (const [key, child] of module.state instanceof PyDict ? module.state.entries : []) {
      if (!isScriptModule(child) || length > MAX_LENGTH) continue;
      const text = this.script(child, depth + 1);
      length += text.length;
      children.push([visible(keyText(key)), text]);
    }
    const text = layout('', 'RecursiveScriptModule', originalName, children);
    this.#known.set(module, text);
    return text;
  }
}

/** A script object that is a module: objects of custom C++ classes are none. */
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

/** A child that is no module with a state: None, or an object that pickles itself in a way of its own. */
function unprintable(value: Value): string {
  if (value === null) return 'None';
  if (value instanceof PyGlobal) return `${visible(value.name)}()`;
  const className = (value as Partial<PyObject>).className ?? '...';
  return `${visible(className.slice(className.lastIndexOf('.') + 1))}()`;
}
