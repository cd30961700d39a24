/** Decides which tensors are the model, and names every tensor of a checkpoint. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { PyDict, type Value } from '../checkpoint/pickle/values.ts';
import { findStateDict, type StateDict } from '../checkpoint/state-dict.ts';
import type { Tensor } from '../checkpoint/tensor.ts';
import { isTensor } from '../checkpoint/value-children.ts';
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';

export interface ModelTensor {
  /** The dotted name in the state dict; empty for a file that is one bare tensor. */
  readonly name: string;
  readonly tensor: Tensor;
  readonly parameter: boolean;
}

export interface Model {
  /** Path from the root of the object tree; empty if the root is the model. */
  readonly path: readonly string[];
  readonly tensors: readonly ModelTensor[];
  /** The pickled module, if there is one: the names are then those of `state_dict()` and not paths of the object tree. */
  readonly module: Value | undefined;
}

/**
 * The model of a checkpoint. `stateDict` names the key of the state dict, with dots for keys inside keys. Throws ERR_MLFS_USAGE if there is
 * no such key, or no tensor below it.
 */
export function modelOf(checkpoint: Checkpoint, stateDict?: string): Model {
  const { root } = checkpoint;
  if (stateDict !== undefined) return chosenModel(checkpoint, stateDict);
  if (isTensor(root)) {
    return {
      path: [],
      tensors: [{ name: '', tensor: root, parameter: root.isParameter }],
      module: undefined,
    };
  }
  const found = findStateDict(root);
  return found === undefined ? { path: [], tensors: [], module: undefined } : modelAt(found, []);
}

/** Every tensor with its name in `mlfs ls`, `mlfs cat` and tensors.json; the model's tensors come first if it is a module. */
export function nameTensors(checkpoint: Checkpoint, model: Model): { name: string; tensor: Tensor }[] {
  return [...eachTensor(checkpoint, model)];
}

/** The same one by one: a checkpoint may have hundreds of thousands. */
export function* eachTensor(
  checkpoint: Checkpoint,
  model: Model,
): Generator<{ readonly name: string; readonly tensor: Tensor }, void> {
  const isModule = model.module !== undefined;
  const own = new Set<Tensor>();
  for (const { name, tensor } of isModule ? model.tensors : []) {
    own.add(tensor);
    yield { name: [...model.path, name].join('.'), tensor };
  }
  const within = (path: readonly string[]) => model.path.every((part, index) => path[index] === part);
  for (const { path, tensor } of checkpoint.tensors) {
    if (!(isModule && own.has(tensor) && within(path))) yield { name: path.join('.'), tensor };
  }
}

function chosenModel(checkpoint: Checkpoint, key: string): Model {
  for (const [path, value] of valuesAt(checkpoint.root, key)) {
    const found = findStateDict(value);
    if (found !== undefined) return modelAt(found, path);
  }
  const keys = checkpoint.root instanceof PyDict ? checkpoint.root.entries.map(([name]) => String(name)) : [];
  throw new MlfsError('ERR_MLFS_USAGE', `${checkpoint.path}: there is no state dict at ${quoteName(key)}`, {
    path: checkpoint.path,
    ...(keys.length === 0 || keys.length > 40
      ? {}
      : { advice: `one of its keys: ${keys.map(quoteName).join(', ')}` }),
  });
}

/** The meanings of a key: the key itself, or a key in a dict under the part before a dot. */
function* valuesAt(root: Value, key: string): Generator<[path: string[], value: Value]> {
  if (!(root instanceof PyDict)) return;
  const value = root.get(key);
  if (value !== undefined) yield [[key], value];
  for (let dot = key.indexOf('.'); dot !== -1; dot = key.indexOf('.', dot + 1)) {
    const outer = root.get(key.slice(0, dot));
    if (outer === undefined) continue;
    for (const [path, inner] of valuesAt(outer, key.slice(dot + 1)))
      yield [[key.slice(0, dot), ...path], inner];
  }
}

function modelAt(found: StateDict, prefix: readonly string[]): Model {
  const marked = [...found.names.values()].some((tensor) => tensor.isParameter || tensor.requiresGrad);
  const tensors = Array.from(found.names, ([name, tensor]) => ({
    name,
    tensor,
    parameter: looksLikeParameter(name, tensor, marked),
  }));
  return { path: [...prefix, ...found.path], tensors, module: found.module };
}

/** Names under which torch's own modules and the common libraries register buffers. */
const BUFFER_NAMES = new Set([
  'running_mean',
  'running_var',
  'num_batches_tracked',
  'position_ids',
  'token_type_ids',
  'inv_freq',
  'attn_mask',
  'causal_mask',
  'relative_position_index',
  'scale_factor',
  'zero_point',
]);

/**
 * Whether a tensor of a state dict is trained. A pickled parameter says so. A state dict saves parameters and buffers alike as plain tensors,
 * so only the dtype and the usual names of buffers tell them apart. `anyMarked`: some tensor of the same state dict is marked as a parameter,
 * so all that are not marked are buffers.
 */
export function looksLikeParameter(name: string, tensor: Tensor, anyMarked: boolean): boolean {
  if (tensor.isParameter || tensor.requiresGrad) return true;
  if (anyMarked) return false;
  if (!/^(float|bfloat|complex)/.test(tensor.dtype)) return false;
  return !BUFFER_NAMES.has(name.slice(name.lastIndexOf('.') + 1));
}
