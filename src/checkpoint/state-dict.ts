/**
 * Which part of a checkpoint is "the model": the root when it is a state dict or a pickled module, otherwise the usual
 * wrapper's, otherwise the dict with the most tensors that is not an optimizer's.
 */

import { PyDict, PyObject, PySet, type Value } from './pickle/values.ts';
import type { Tensor } from './tensor.ts';
import { children, isContainer, isTensor, keyText } from './value-children.ts';

export interface StateDict {
  /** From the root of the object tree to the state dict or module; empty when it is the root. */
  readonly path: readonly string[];
  /** Names as torch's `state_dict()` gives them. */
  readonly names: ReadonlyMap<string, Tensor>;
  /** The pickled module, when that is what holds the tensors. */
  readonly module?: PyObject;
}

/** Keys that training programs keep a model under, the likeliest first. */
const WRAPPERS = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'module',
  'net',
  'network',
  'net_state_dict',
  'generator',
  'params_ema',
  'params',
  'ema',
  'ema_state_dict',
  'weights',
  'student',
  'teacher',
  'encoder',
  'backbone',
  'policy',
];

/** Keys below which no model is looked for. */
const NOT_A_MODEL = /optim|sched|scaler|grad|loss|metric|callbacks|rng|hyper_?param/i;

const SEARCH_DEPTH = 4;
/** A wrapper is near the root: the search needs no more. */
const SEARCH_VISITS = 20_000;
const MODULE_DEPTH = 500;
const MODULE_VISITS = 1_000_000;

/** Finds the state dict of a checkpoint; undefined when there is nothing like one. */
export function findStateDict(root: Value): StateDict | undefined {
  const own = stateDictAt(root, []);
  if (own !== undefined && (own.module !== undefined || isMostlyTensors(root))) return own;
  return wrapped(root, [], 0) ?? largest(root) ?? own;
}

/** Whether a value is a pickled `torch.nn.Module`. */
export function isModule(value: Value | undefined): value is PyObject & { state: PyDict } {
  return (
    value instanceof PyObject &&
    value.state instanceof PyDict &&
    value.state.get('_parameters') instanceof PyDict &&
    value.state.get('_modules') instanceof PyDict
  );
}

/** An object of a TorchScript class, whose attributes are its parameters, buffers and submodules alike. */
export function isScriptObject(value: Value | undefined): value is PyObject & { state: Value } {
  return (
    value instanceof PyObject &&
    value.state !== undefined &&
    (value.className?.startsWith('__torch__.') ?? false)
  );
}

function stateDictAt(value: Value | undefined, path: readonly string[]): StateDict | undefined {
  const names = new Map<string, Tensor>();
  if (isModule(value)) {
    new ModuleNames(names).add(value, '', 0);
    return names.size === 0 ? undefined : { path, names, module: value };
  }
  if (isScriptObject(value)) {
    new ScriptNames(names).add(value, '', 0);
    return names.size === 0 ? undefined : { path, names, module: value };
  }
  const entries =
    value instanceof PyDict ? value.entries : value instanceof PyObject ? value.dictItems?.entries : [];
  for (const [key, item] of entries ?? []) {
    if (typeof key === 'string' && isTensor(item)) names.set(key, item);
  }
  return names.size === 0 ? undefined : { path, names };
}

/** A state dict may hold numbers and extra state too, but not for the most part. */
function isMostlyTensors(value: Value): boolean {
  if (!(value instanceof PyDict)) return false;
  const tensors = value.entries.filter(([key, item]) => typeof key === 'string' && isTensor(item)).length;
  return tensors * 2 >= value.entries.length;
}

/** What the usual wrappers hold, also one inside another: `{'model': {'state_dict': …}}`. */
function wrapped(value: Value | undefined, path: readonly string[], depth: number): StateDict | undefined {
  if (depth > 2 || !isContainer(value)) return undefined;
  const byName = new Map<string, [readonly string[], Value]>();
  for (const [parts, child] of childrenOf(value)) {
    const name = parts[parts.length - 1];
    if (name !== undefined && isContainer(child)) byName.set(name, [parts, child]);
  }
  for (const name of WRAPPERS) {
    const found = byName.get(name);
    if (found === undefined) continue;
    const [parts, child] = found;
    const at = [...path, ...parts];
    const own = stateDictAt(child, at);
    if (own !== undefined && (own.module !== undefined || isMostlyTensors(child))) return own;
    const inner = wrapped(child, at, depth + 1) ?? own;
    if (inner !== undefined) return inner;
  }
  return undefined;
}

/** The state dict or module with the most tensors within a few steps of the root. */
function largest(root: Value): StateDict | undefined {
  let best: StateDict | undefined;
  const seen = new Set<Value>([root]);
  let level: [readonly string[], Value][] = [[[], root]];
  for (let depth = 0; depth < SEARCH_DEPTH && level.length > 0; depth++) {
    const next: [readonly string[], Value][] = [];
    for (const [path, value] of level) {
      if (!isContainer(value)) continue;
      for (const [parts, child] of childrenOf(value)) {
        if (!isContainer(child) || seen.has(child) || parts.some((part) => NOT_A_MODEL.test(part))) continue;
        if (seen.size > SEARCH_VISITS) return best;
        seen.add(child);
        const at = [...path, ...parts];
        const found = stateDictAt(child, at);
        if (found !== undefined && found.names.size > (best?.names.size ?? 0)) best = found;
        if (found?.module === undefined) next.push([at, child]);
      }
    }
    level = next;
  }
  return best;
}

/** Children, with an object's attributes as if they were its own. */
function* childrenOf(value: Parameters<typeof children>[0]): Generator<[readonly string[], Value]> {
  for (const [parts, child] of children(value)) {
    if (parts[0] === '<state>' && child instanceof PyDict && value instanceof PyObject) {
      for (const [key, attribute] of child.entries) yield [['<state>', keyText(key)], attribute];
    } else {
      yield [parts, child];
    }
  }
}

/** Names as `Module.state_dict()` makes them: own parameters, own persistent buffers, then the children's. */
class ModuleNames {
  readonly #names: Map<string, Tensor>;
  readonly #open = new Set<Value>();
  #visits = 0;

  constructor(names: Map<string, Tensor>) {
    this.#names = names;
  }

  add(module: PyObject & { state: PyDict }, prefix: string, depth: number): void {
    if (this.#open.has(module) || depth > MODULE_DEPTH || ++this.#visits > MODULE_VISITS) return;
    this.#open.add(module);
    const { state } = module;
    const transient = state.get('_non_persistent_buffers_set');
    const skipped = new Set(transient instanceof PySet ? transient.items : []);
    this.#addTensors(state.get('_parameters'), prefix, new Set());
    this.#addTensors(state.get('_buffers'), prefix, skipped);
    const modules = state.get('_modules');
    for (const [key, child] of modules instanceof PyDict ? modules.entries : []) {
      if (isModule(child)) this.add(child, `${prefix}${keyText(key)}.`, depth + 1);
    }
    this.#open.delete(module);
  }

  #addTensors(dict: Value | undefined, prefix: string, skipped: ReadonlySet<Value>): void {
    for (const [key, value] of dict instanceof PyDict ? dict.entries : []) {
      if (isTensor(value) && !skipped.has(key)) this.#names.set(prefix + keyText(key), value);
    }
  }
}

/** Names of a script module: its attributes, dotted. Packed parameters of quantized layers are numbered parts. */
class ScriptNames {
  readonly #names: Map<string, Tensor>;
  readonly #open = new Set<Value>();
  #visits = 0;

  constructor(names: Map<string, Tensor>) {
    this.#names = names;
  }

  add(value: Value, name: string, depth: number): void {
    if (isTensor(value)) {
      this.#names.set(name, value);
      return;
    }
    if (!isContainer(value) || this.#open.has(value) || depth > MODULE_DEPTH) return;
    if (++this.#visits > MODULE_VISITS) return;
    this.#open.add(value);
    for (const [parts, child] of children(value)) {
      if (isJitList(child)) continue;
      const added = parts.filter((part) => part !== '<state>' && !/^<arg\d+>$/.test(part));
      const inner = [name, ...added].filter((part) => part !== '').join('.');
      this.add(child, inner, depth + 1);
    }
    this.#open.delete(value);
  }
}

/** A list attribute of a script module, e.g. an LSTM's `_flat_weights`: it repeats parameters that have names. */
function isJitList(value: Value): boolean {
  return value instanceof PyObject && (value.className?.startsWith('torch.jit._pickle.') ?? false);
}
