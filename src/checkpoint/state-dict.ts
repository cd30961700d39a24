/**
 * Finds the part of a checkpoint that is the model. The first that applies:
 *
 * 1. the root, when it is a state dict or a pickled module;
 * 2. the value under one of the usual wrapper keys;
 * 3. the root, when it holds only tensors at every depth, or is a dict of several such dicts and of scalars;
 * 4. the container with the most tensors that is not an optimizer's;
 * 5. the root, with whatever tensors it has.
 *
 * Sparse tensors, nested tensors and tensor subclasses count as tensors here: the model is never a part of one.
 */

import { isModule, isScriptObject, moduleBody } from './modules.ts';
import { PyDict, PyList, PyObject, PyTuple, type Value } from './pickle/values.ts';
import type { TensorIndex } from './tensor.ts';
import { type NamesOfTensors, NamingWork, tensorNames } from './tensor-names.ts';
import { TensorObject, wrappedByParameter } from './torch/tensor-object.ts';
import { type Container, isContainer, isTensor, keyText, visitParts } from './value-children.ts';

export interface StateDict {
  /** Path from the root of the object tree to the state dict or module; empty when it is the root. */
  readonly path: readonly string[];
  readonly value: Value;
  /** The names that torch's `state_dict()` gives: tensor-names.ts. */
  readonly names: TensorIndex;
  /** Names that differ from the rules because another tensor has the name: `a.b~2`. */
  readonly separated: readonly string[];
  /** The pickled module, if one holds the tensors. */
  readonly module?: PyObject;
}

/** Keys under which training programs keep a model, the likeliest first. */
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

/** Keys below which no model is searched. */
const NOT_A_MODEL = /optim|sched|scaler|grad|loss|metric|callbacks|rng|hyper_?param|_extra_state$/i;

const SEARCH_DEPTH = 4;
/** Maximum number of containers that the search visits: wrappers are near the root. */
const SEARCH_VISITS = 20_000;
/** Maximum number of values that one search visits to classify containers. */
const KIND_VISITS = 2_000_000;
/** Maximum number of list items that are visited. */
const LIST_ITEMS = 8;

/** Finds the state dict of a checkpoint; undefined when there is no tensor in it. */
export function findStateDict(root: Value): StateDict | undefined {
  return new Search().find(root);
}

/**
 * The kind of a container. `model`: a module, or a container that consists mostly of tensors. `tree`: only tensors, and containers of
 * tensors, at every depth; or a dict of several such dicts and of scalars. `some`: a tensor among other things.
 */
type Kind = 'model' | 'tree' | 'some' | 'other';

interface Found {
  readonly path: readonly string[];
  readonly value: Container;
  readonly kind: Kind;
  /** The names of a module's tensors; their number is its size. */
  readonly named?: NamesOfTensors;
}

/** One search. Its budget for naming modules is shared by all of them. */
class Search {
  readonly #work = new NamingWork();
  #kindVisits = KIND_VISITS;

  find(root: Value): StateDict | undefined {
    if (!isContainer(root)) return undefined;
    const own = this.#at(root, []);
    const found = own.named !== undefined || isAnyTensor(root) ? own : this.#below(root, own);
    return this.#named(found) ?? this.#named({ path: [], value: root, kind: 'some' });
  }

  #below(root: Container, own: Found): Found {
    const wrapped = this.#wrapped(root, [], 0);
    // `{'model': …, 'step': tensor}` is a wrapper; a state dict with a child called `model` is not.
    if (own.kind === 'model' && (wrapped === undefined || this.#sizeOf(own) > this.#sizeOf(wrapped))) {
      return own;
    }
    if (wrapped !== undefined || own.kind === 'tree') return wrapped ?? own;
    const largest = this.#largest(root, own);
    return largest === undefined || (own.kind === 'some' && this.#sizeOf(own) >= this.#sizeOf(largest))
      ? own
      : largest;
  }

  #named({ path, value, named = tensorNames(value, this.#work) }: Found): StateDict | undefined {
    const { names, separated } = named;
    if (names.size === 0) return undefined;
    const module = value instanceof PyObject && isAnyModule(value) ? { module: value } : {};
    return { path, value, names, separated, ...module };
  }

  #at(value: Container, path: readonly string[]): Found {
    if (isAnyModule(value)) {
      const named = tensorNames(value, this.#work);
      return { path, value, named, kind: named.names.size === 0 ? 'other' : 'model' };
    }
    return { path, value, kind: this.#kindOf(value, 0) };
  }

  #kindOf(value: Container, depth: number): Kind {
    const items = itemsOf(value);
    if (items === undefined || items.length === 0) return 'other';
    this.#kindVisits -= items.length;
    if (this.#kindVisits < 0) return 'other';
    let tensors = 0;
    let trees = 0;
    let modules = 0;
    let containers = 0;
    for (const entry of items) {
      const item = itemValue(entry);
      if (isTensorLike(item)) tensors++;
      else if (isContainer(item)) {
        containers++;
        if (depth < SEARCH_DEPTH && this.#isTree(item, depth)) trees++;
        if (isAnyModule(item)) modules++;
      }
    }
    if (tensors * 2 >= items.length) return 'model';
    const isAllTree = tensors + trees === items.length && items.length > 1;
    // `{'encoder': …, 'decoder': …, 'version': 3}`. A module is a model by itself, with more to it than its tensors.
    const isTreeAndScalars =
      value instanceof PyDict && tensors + modules === 0 && trees === containers && trees > 1;
    if ((isAllTree || isTreeAndScalars) && !hasOptimizer(value)) return 'tree';
    return tensors > 0 ? 'some' : 'other';
  }

  #isTree(item: Value, depth: number): boolean {
    if (!isContainer(item)) return false;
    if (isAnyModule(item)) return true;
    const kind = this.#kindOf(item, depth + 1);
    return kind === 'model' || kind === 'tree';
  }

  /** The content of the usual wrappers, nested ones included: `{'model': {'state_dict': …}}`. */
  #wrapped(value: Container, path: readonly string[], depth: number): Found | undefined {
    if (depth > 2 || !(value instanceof PyDict || value instanceof PyObject)) return undefined;
    for (const name of WRAPPERS) {
      const child = childNamed(value, name);
      if (child === undefined) continue;
      const [parts, inside] = child;
      const own = this.#at(inside, [...path, ...parts]);
      if (own.kind === 'model') return own;
      const inner = this.#wrapped(inside, own.path, depth + 1);
      if (inner !== undefined) return inner;
      if (own.kind !== 'other') return own;
    }
    return undefined;
  }

  /**
   * The container with the most tensors within a few steps of the root. A list counts only when no state dict or module is found and the
   * root itself has no tensors.
   */
  #largest(root: Container, own: Found): Found | undefined {
    const best: Record<'list' | 'other', { found?: Found; size: number }> = {
      list: { size: 0 },
      other: { size: 0 },
    };
    const seen = new Set<Value>([root]);
    let level: [readonly string[], Container][] = [[[], root]];
    for (let depth = 0; depth < SEARCH_DEPTH && level.length > 0; depth++) {
      const next: [readonly string[], Container][] = [];
      for (const [path, value] of level) {
        // One dict may be the attributes of many objects.
        if (value instanceof PyObject && value.state instanceof PyDict) {
          this.#kindVisits -= value.state.entries.length;
          if (this.#kindVisits < 0) continue;
        }
        visitContainers(value, (step, child) => {
          if (seen.size > SEARCH_VISITS || seen.has(child) || child instanceof TensorObject) return;
          seen.add(child);
          const parts = step.map(keyText);
          if (parts.some((part) => NOT_A_MODEL.test(part))) return;
          const found = this.#at(child, [...path, ...parts]);
          const size = found.kind === 'other' ? 0 : this.#sizeOf(found);
          const rank = child instanceof PyList || child instanceof PyTuple ? 'list' : 'other';
          if (size > best[rank].size) best[rank] = { found, size };
          if (!isAnyModule(child)) next.push([found.path, child]);
        });
      }
      level = next;
    }
    return best.other.found ?? (own.kind === 'some' ? undefined : best.list.found);
  }

  /** Number of tensors directly inside; for a tree, those of all its branches. */
  #sizeOf({ named, value, kind }: Found): number {
    return named?.names.size ?? this.#tensorsIn(value, kind === 'tree' ? SEARCH_DEPTH : 0);
  }

  #tensorsIn(value: Value, depth: number): number {
    let tensors = 0;
    const items = (isContainer(value) ? itemsOf(value) : undefined) ?? [];
    this.#kindVisits -= items.length;
    if (this.#kindVisits < 0) return 0;
    for (const entry of items) {
      const item = itemValue(entry);
      if (isTensorLike(item)) tensors++;
      else if (depth > 0) tensors += this.#tensorsIn(item, depth - 1);
    }
    return tensors;
  }
}

function isAnyModule(value: Value): boolean {
  return isModule(value) || isScriptObject(value) || moduleBody(value) !== undefined;
}

/** A tensor of any representation. */
function isAnyTensor(value: Value): boolean {
  return isTensor(value) || (wrappedByParameter(value) ?? value) instanceof TensorObject;
}

/** A tensor, or a list of tensors such as packed weights. */
function isTensorLike(value: Value): boolean {
  if (isAnyTensor(value)) return true;
  if (!(value instanceof PyList || value instanceof PyTuple)) return false;
  return value.items.slice(0, LIST_ITEMS).some(isAnyTensor);
}

type Item = Value | readonly [key: Value, value: Value];

/** The children of a state dict or a list, without copying; undefined for anything else. */
function itemsOf(value: Container): readonly Item[] | undefined {
  if (value instanceof TensorObject) return undefined;
  if (value instanceof PyList || value instanceof PyTuple) return value.items;
  const dict = value instanceof PyObject ? value.dictItems : value;
  return dict instanceof PyDict ? dict.entries : undefined;
}

function itemValue(item: Item): Value {
  return Array.isArray(item) ? item[1] : (item as Value);
}

function hasOptimizer(value: Container): boolean {
  return (
    value instanceof PyDict && value.entries.some(([key]) => typeof key === 'string' && NOT_A_MODEL.test(key))
  );
}

/** A child container by its key, or by an object's attribute. */
function childNamed(value: PyDict | PyObject, name: string): [readonly string[], Container] | undefined {
  if (value instanceof PyObject && value.state instanceof PyDict) {
    const attribute = value.state.get(name);
    if (isContainer(attribute)) return [['<state>', name], attribute];
  }
  const child = (value instanceof PyDict ? value : value.dictItems)?.get(name);
  return isContainer(child) ? [[name], child] : undefined;
}

/** Child containers that are not empty, with an object's attributes among its children. */
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
