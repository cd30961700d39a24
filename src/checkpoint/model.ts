/**
 * Decides which tensors are the model, and the name of every tensor of a checkpoint, for `mlfs ls`, `cat`, `info` and `verify`, for /model,
 * /views, exports, tensors.json and the status. Tensors of the model have their names in the state dict; the others have their full path
 * from the root.
 */
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';
import type { Checkpoint } from './checkpoint.ts';
import { isFloating } from './dtypes.ts';
import { PyDict, type Value } from './pickle/values.ts';
import { findStateDict, type StateDict } from './state-dict.ts';
import type { Tensor, TensorIndex } from './tensor.ts';
import { otherTensorNames } from './tensor-names.ts';
import { DistinctTensors } from './tensor-views.ts';
import { isPlumbing, isTensor, isWithinPlumbing } from './value-children.ts';

/** The name of the tensor in a file that is one tensor. */
export const BARE_TENSOR = 'tensor';

export interface ModelTensor {
  /** The dotted name in the state dict; BARE_TENSOR for a file that is one tensor. */
  readonly name: string;
  readonly tensor: Tensor;
  readonly parameter: boolean;
}

export interface Model {
  /** Path from the root of the object tree; empty when the root is the model. */
  readonly path: readonly string[];
  readonly tensors: readonly ModelTensor[];
  /** The tensors by their names. */
  readonly names: TensorIndex;
  /** The value that holds the tensors. */
  readonly value: Value;
  /** The pickled module, if there is one: the names are those of `state_dict()` and not paths of the object tree. */
  readonly module: Value | undefined;
  /** Names that were changed because another tensor of the model has them: `a.b~2`. */
  readonly separated: readonly string[];
}

/**
 * The model of a checkpoint. `stateDict` is the key to look under; dots separate nested keys. Throws ERR_MLFS_USAGE when there is no such
 * key or no tensor below it.
 */
export function modelOf(checkpoint: Checkpoint, stateDict?: string): Model {
  const { root } = checkpoint;
  if (stateDict !== undefined) return chosenModel(checkpoint, stateDict);
  if (isTensor(root)) {
    return {
      path: [],
      value: root,
      tensors: [{ name: BARE_TENSOR, tensor: root, parameter: root.isParameter }],
      names: new Map([[BARE_TENSOR, root]]),
      module: undefined,
      separated: [],
    };
  }
  const found = findStateDict(root) ?? besideRoot(checkpoint);
  return found === undefined
    ? { path: [], value: root, tensors: [], names: new Map(), module: undefined, separated: [] }
    : modelAt(found, []);
}

/** A script for mobile devices may have its weights only among its constants. */
function besideRoot(checkpoint: Checkpoint): StateDict | undefined {
  const { names, separated } = otherTensorNames(namedRoots(checkpoint), new Map(), undefined);
  return names.size === 0 ? undefined : { path: [], value: checkpoint.root, names, separated };
}

export interface NameAndTensor {
  readonly name: string;
  readonly tensor: Tensor;
}

/** A tensor below the model's value that is not in the model, and the reason. */
export interface LeftOut extends NameAndTensor {
  readonly reason: string;
}

/** All names of all tensors of a checkpoint. One name leads to one tensor; a tensor may have several names. */
export interface TensorNames {
  /** Names of the model first, then the others in the order of the file. */
  readonly all: readonly NameAndTensor[];
  /** How many of the names are the model's. */
  readonly inModel: number;
  /**
   * The name of the model itself, from the root; empty if it is the root. With a dot in between, it and the name of a tensor of the model are that
   * tensor's full path.
   */
  readonly modelName: string;
  /** Number of tensors, where several names of a tensor count once. */
  readonly tensors: number;
  /** The tensors, each once, in the order of the first of their names. */
  readonly distinct: DistinctTensors;
  /** Tensors below the model's value that are not in the model. */
  readonly leftOut: readonly LeftOut[];
  /** Names that were changed because another tensor has them: `optimizer.x~2`. */
  readonly separated: readonly string[];
}

/** Names every tensor. The cost grows with the size of the checkpoint. */
export function nameTensors(checkpoint: Checkpoint, model: Model): TensorNames {
  const distinct = new DistinctTensors();
  for (const tensor of model.names.values()) distinct.add(tensor);
  const elsewhere = model.tensors.length === 0 ? undefined : { path: model.path, value: model.value };
  const others = otherTensorNames(namedRoots(checkpoint), model.names, elsewhere);
  for (const tensor of others.names.values()) distinct.add(tensor);

  const leftOut: LeftOut[] = [];
  const named = distinct.size;
  for (const [index, stray] of checkpoint.tensors.entries()) {
    const { tensor } = stray;
    // Nearly always the tensors of the file are those of the model, in the same order.
    if (model.tensors[index]?.tensor === tensor) continue;
    const before = distinct.size;
    const number = distinct.add(tensor);
    if (number < named) continue;
    const { path } = stray;
    const isFirst = number === before;
    const name = others.add(pathName(path), tensor);
    if (isFirst && model.tensors.length > 0 && isBelow(path, model.path)) {
      leftOut.push({ name, tensor, reason: whyLeftOut(path.slice(model.path.length)) });
    }
  }
  const all: NameAndTensor[] = [...model.tensors];
  for (const [name, tensor] of others.names) all.push({ name, tensor });
  return {
    all,
    inModel: model.tensors.length,
    modelName: others.elsewhere ?? pathName(model.path),
    tensors: distinct.size,
    distinct,
    leftOut,
    separated: [...model.separated, ...others.separated],
  };
}

/** The full name, from the root, for a path of the object tree, without the steps that only the pickle needs. */
export function pathName(path: readonly string[]): string {
  return path.filter((part, index) => !isPlumbing(part) && !isWithinPlumbing(path, index)).join('.');
}

function isBelow(path: readonly string[], above: readonly string[]): boolean {
  return above.every((part, index) => path[index] === part);
}

/** `path` leads from the model's value to the tensor. */
function whyLeftOut(path: readonly string[]): string {
  if (!path.some(isPlumbing)) return 'one of too many names';
  const isBuffer = path.some((part, index) => part === '_buffers' && isPlumbing(path[index - 1]));
  return isBuffer ? 'a buffer that is not persistent' : 'an attribute that is not part of the state dict';
}

/** In scripts before torch 1.4 the attributes are also in the modules. */
const IN_MODULES = 'attributes';

function* namedRoots({
  root,
  otherPickles,
}: Checkpoint): Generator<[name: string | undefined, value: Value]> {
  yield [undefined, root];
  for (const [name, value] of otherPickles ?? []) if (name !== IN_MODULES) yield [name, value];
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

/** The possible meanings of a key: the key itself, or a key in a dict under the part before a dot. */
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
  const marked = saysWhatTrains(found);
  const { value, module, separated, names } = found;
  const tensors: ModelTensor[] = [];
  for (const [name, tensor] of names)
    tensors.push({ name, tensor, parameter: looksLikeParameter(name, tensor, marked) });
  return { path: [...prefix, ...found.path], value, tensors, names, module, separated };
}

/**
 * Whether some of the tensors are marked as parameters. In a state dict only its direct tensors count, because the bias in packed weights is
 * always marked.
 */
function saysWhatTrains({ value, names }: StateDict): boolean {
  const trains = (item: Value | Tensor) => isTensor(item) && (item.isParameter || item.requiresGrad);
  if (value instanceof PyDict) return value.entries.some(([, item]) => trains(item));
  for (const tensor of names.values()) if (trains(tensor)) return true;
  return false;
}

/** Names under which torch's own modules and common libraries register buffers. */
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
  'scales',
  'zero_points',
]);

/**
 * Whether a tensor of a state dict is a parameter. A pickled parameter says so. A state dict saves parameters and buffers alike as plain
 * tensors, so only the dtype and the usual names of buffers distinguish them. `anyMarked`: some tensor of the same state dict is marked as
 * a parameter, so those without the mark are buffers.
 */
export function looksLikeParameter(name: string, tensor: Tensor, anyMarked: boolean): boolean {
  if (tensor.isParameter || tensor.requiresGrad) return true;
  if (anyMarked) return false;
  if (!isFloating(tensor.dtype)) return false;
  return !BUFFER_NAMES.has(name.slice(name.lastIndexOf('.') + 1));
}
