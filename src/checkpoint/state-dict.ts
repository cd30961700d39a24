/**
 * Which part of a checkpoint is "the model": the root when it is a state dict or a pickled module, otherwise the usual
 * wrapper's, otherwise the dict with the most tensors that is not an optimizer's.
 */

import { isModule, isScriptObject, moduleNames, NamingWork } from './module-names.ts';
import { PyDict, PyObject, type Value } from './pickle/values.ts';
import type { Tensor } from './tensor.ts';
import { type Container, isContainer, isTensor, keyText, visitParts } from './value-children.ts';

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
  'params_ema',
  'params',
  'ema',
  'ema_state_dict',
  'weights',
];

/** Keys below which no model is looked for. */
const NOT_A_MODEL = /optim|sched|scaler|grad|loss|metric|callbacks|rng|hyper_?param/i;

const SEARCH_DEPTH = 4;
/** A wrapper is near the root: the search needs no more. */
const SEARCH_VISITS = 20_000;

/** Finds the state dict of a checkpoint; undefined when there is nothing like one. */
export function findStateDict(root: Value): StateDict | undefined {
  return new Search().find(root);
}

/** One search: what it may spend on naming modules is shared by all of them. */
class Search {
  readonly #work = new NamingWork();

  find(root: Value): StateDict | undefined {
    const own = this.#at(root, []);
    if (own !== undefined && (own.module !== undefined || isMostlyTensors(root))) return own;
    return this.#wrapped(root, [], 0) ?? this.#largest(root) ?? own;
  }

  #at(value: Value | undefined, path: readonly string[]): StateDict | undefined {
    if (isModule(value) || isScriptObject(value)) {
      const names = moduleNames(value, this.#work);
      return names.size === 0 ? undefined : { path, names, module: value };
    }
    const names = new Map<string, Tensor>();
    const dict = value instanceof PyObject ? value.dictItems : value;
    for (const [key, item] of dict instanceof PyDict ? dict.entries : []) {
      if (typeof key === 'string' && isTensor(item)) names.set(key, item);
    }
    return names.size === 0 ? undefined : { path, names };
  }

  /** What the usual wrappers hold, also one inside another: `{'model': {'state_dict': …}}`. */
  #wrapped(value: Value | undefined, path: readonly string[], depth: number): StateDict | undefined {
    if (depth > 2 || !(value instanceof PyDict || value instanceof PyObject)) return undefined;
    for (const name of WRAPPERS) {
      const found = childNamed(value, name);
      if (found === undefined) continue;
      const [parts, child] = found;
      const at = [...path, ...parts];
      const own = this.#at(child, at);
      if (own !== undefined && (own.module !== undefined || isMostlyTensors(child))) return own;
      const inner = this.#wrapped(child, at, depth + 1) ?? own;
      if (inner !== undefined) return inner;
    }
    return undefined;
  }

  /** The state dict or module with the most tensors within a few steps of the root. */
  #largest(root: Value): StateDict | undefined {
    let best: StateDict | undefined;
    const seen = new Set<Value>([root]);
    let level: [readonly string[], Value][] = [[[], root]];
    for (let depth = 0; depth < SEARCH_DEPTH && level.length > 0; depth++) {
      const next: [readonly string[], Value][] = [];
      for (const [path, value] of level) {
        if (!isContainer(value)) continue;
        visitContainers(value, (step, child) => {
          if (seen.size > SEARCH_VISITS || seen.has(child)) return;
          seen.add(child);
          const parts = step.map(keyText);
          if (parts.some((part) => NOT_A_MODEL.test(part))) return;
          const at = [...path, ...parts];
          const found = this.#at(child, at);
          if (found !== undefined && found.names.size > (best?.names.size ?? 0)) best = found;
          if (found?.module === undefined) next.push([at, child]);
        });
      }
      level = next;
    }
    return best;
  }
}

/** A state dict may hold numbers and extra state too, but not for the most part. */
function isMostlyTensors(value: Value): boolean {
  if (!(value instanceof PyDict)) return false;
  const tensors = value.entries.filter(([key, item]) => typeof key === 'string' && isTensor(item)).length;
  return tensors * 2 >= value.entries.length;
}

/** A container by its key, or by an object's attribute. */
function childNamed(value: PyDict | PyObject, name: string): [readonly string[], Container] | undefined {
  if (value instanceof PyObject && value.state instanceof PyDict) {
    const attribute = value.state.get(name);
    if (isContainer(attribute)) return [['<state>', name], attribute];
  }
  const child = (value instanceof PyDict ? value : value.dictItems)?.get(name);
  return isContainer(child) ? [[name], child] : undefined;
}

/** Containers with something in them, an object's attributes as if they were its own. */
function visitContainers(
  container: Container,
  visit: (steps: readonly Value[], child: Container) => void,
): void {
  const attributes = container instanceof PyObject ? container.state : undefined;
  visitParts(container, (step, child) => {
    if (child !== attributes || !(child instanceof PyDict)) {
      if (isContainer(child)) visit([step], child);
      return;
    }
    visitParts(child, (key, attribute) => {
      if (isContainer(attribute)) visit(['<state>', key], attribute);
    });
  });
}
