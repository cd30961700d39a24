/**
 * The modules of a model as a tree: of a pickled `torch.nn.Module`, of a TorchScript archive, or, for a state dict, as the dots of
 * its names say. In the order of the file.
 */

import type { Model } from '../../checkpoint/model.ts';
import { isModule, isScriptObject } from '../../checkpoint/modules.ts';
import { PyDict, type PyObject, PySet, type Value } from '../../checkpoint/pickle/values.ts';
import type { Tensor } from '../../checkpoint/tensor.ts';
import { extraRepr, ModuleAttributes } from '../../checkpoint/torch/layer-repr.ts';
import { isTensor, keyText } from '../../checkpoint/value-children.ts';

export interface ModuleNode {
  /** Its own part of the path; empty for the root. */
  readonly name: string;
  /** Dotted, from the root. */
  readonly path: string;
  /** `torch.nn.modules.linear.Linear`; undefined where only names are known. */
  readonly className: string | undefined;
  /** What torch prints in the parentheses: `in_features=3, out_features=10, bias=True`. */
  readonly extra: string;
  readonly tensors: readonly ModuleTensor[];
  readonly modules: readonly ModuleNode[];
  /** The path of the same module, described there. */
  readonly same?: string;
}

export interface ModuleTensor {
  readonly name: string;
  readonly tensor: Tensor;
  readonly parameter: boolean;
}

interface OpenNode extends ModuleNode {
  readonly tensors: ModuleTensor[];
  readonly modules: ModuleNode[];
}

/** Real models are some twenty deep. What is deeper keeps the rest of its name in one part. */
const MAX_DEPTH = 100;
/** Modules and tensors of one tree. */
const MAX_PARTS = 500_000;

/** What a file that is one tensor without a name calls it. */
const NAMELESS = 'tensor';

/** Yields between its parts: a large model takes a while. */
export function* moduleTree({ module, tensors }: Model): Generator<void, ModuleNode> {
  const walk = new ModuleWalk();
  if (isModule(module)) {
    yield* walk.module(module, '', '', 0);
    return yield* walk.finish(tensors);
  }
  if (isScriptObject(module)) {
    yield* walk.script(module, '', '', 0);
    return yield* walk.finish(tensors);
  }
  const root = openNode('', '', undefined, '');
  const folders = new Map<string, OpenNode>([['', root]]);
  for (const { name, tensor, parameter } of tensors) {
    const parts = (name === '' ? NAMELESS : name).split('.');
    const depth = folders.size > MAX_PARTS ? 0 : Math.min(parts.length - 1, MAX_DEPTH);
    const rest = parts.splice(depth).join('.');
    folder(folders, parts).tensors.push({ name: rest, tensor, parameter });
    yield;
  }
  return root;
}

/** The node of a path, made with those above it if need be. */
function folder(folders: Map<string, OpenNode>, parts: readonly string[]): OpenNode {
  const path = parts.join('.');
  const there = folders.get(path);
  if (there !== undefined) return there;
  const parent = folder(folders, parts.slice(0, -1));
  const made = openNode(parts.at(-1) ?? '', path, undefined, '');
  parent.modules.push(made);
  folders.set(path, made);
  return made;
}

function openNode(name: string, path: string, className: string | undefined, extra: string): OpenNode {
  return { name, path, className, extra, tensors: [], modules: [] };
}

class ModuleWalk {
  /** Where each module was described. */
  readonly #paths = new Map<PyObject, string>();
  readonly #nodes = new Map<string, OpenNode>();
  readonly #tensors = new Set<Tensor>();
  #left = MAX_PARTS;

  /** The root, when tensors that are in no module's own dicts have their place, too: in lists, in packed parameters. */
  *finish(tensors: Model['tensors']): Generator<void, ModuleNode> {
    for (const { name, tensor, parameter } of tensors) {
      yield;
      if (this.#tensors.has(tensor)) continue;
      const parts = name.split('.');
      let depth = Math.min(parts.length - 1, MAX_DEPTH);
      while (depth > 0 && !this.#nodes.has(parts.slice(0, depth).join('.'))) depth--;
      const node = this.#nodes.get(parts.slice(0, depth).join('.'));
      node?.tensors.push({ name: parts.slice(depth).join('.'), tensor, parameter });
    }
    return this.#nodes.get('') ?? openNode('', '', undefined, '');
  }

  *module(
    module: PyObject & { state: PyDict },
    name: string,
    path: string,
    depth: number,
  ): Generator<void, ModuleNode> {
    yield;
    const known = this.#known(module, name, path, depth);
    if (known !== undefined) return known;
    const className = module.className ?? '';
    const node = openNode(name, path, className, extraRepr(className, new ModuleAttributes(module)) ?? '');
    this.#nodes.set(path, node);
    const { state } = module;
    const transient = state.get('_non_persistent_buffers_set');
    const skipped = new Set(transient instanceof PySet ? transient.items : []);
    for (const [key, value] of entriesOf(state.get('_parameters'))) this.#tensor(node, key, value, true);
    for (const [key, value] of entriesOf(state.get('_buffers'))) {
      if (!skipped.has(key)) this.#tensor(node, key, value, false);
    }
    for (const [key, child] of entriesOf(state.get('_modules'))) {
      const inner = keyText(key);
      if (isModule(child))
        node.modules.push(yield* this.module(child, inner, joined(path, inner), depth + 1));
    }
    return node;
  }

  *script(
    object: PyObject & { state: Value },
    name: string,
    path: string,
    depth: number,
  ): Generator<void, ModuleNode> {
    yield;
    const known = this.#known(object, name, path, depth);
    if (known !== undefined) return known;
    const node = openNode(name, path, object.className ?? '', '');
    this.#nodes.set(path, node);
    for (const [key, value] of entriesOf(object.state)) {
      const inner = keyText(key);
      if (isTensor(value)) this.#tensor(node, key, value, value.isParameter || value.requiresGrad);
      else if (isScriptObject(value)) {
        node.modules.push(yield* this.script(value, inner, joined(path, inner), depth + 1));
      }
    }
    return node;
  }

  #tensor(node: OpenNode, key: Value, value: Value, parameter: boolean): void {
    if (!isTensor(value) || --this.#left <= 0) return;
    this.#tensors.add(value);
    node.tensors.push({ name: keyText(key), tensor: value, parameter });
  }

  /** A module that was met before, or one too many. */
  #known(module: PyObject, name: string, path: string, depth: number): ModuleNode | undefined {
    const same = this.#paths.get(module);
    if (same !== undefined) return { ...openNode(name, path, module.className, ''), same };
    if (depth > MAX_DEPTH || --this.#left <= 0) return openNode(name, path, module.className, '…');
    this.#paths.set(module, path);
    return undefined;
  }
}

function entriesOf(value: Value | undefined): PyDict['entries'] {
  return value instanceof PyDict ? value.entries : [];
}

function joined(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
