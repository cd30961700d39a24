/**
 * The reconstructors that torch's pickles name: `torch._utils._rebuild_*` and their kin, as pure functions from arguments to
 * tensors. A tensor that does not fit its storage is created anyway and its fault recorded, because only the walk over the
 * object tree knows its name; callers must check `faults` before they use the tensors.
 */
import type { Account } from '../pickle/account.ts';
import { BUILTIN_RECONSTRUCTORS, items } from '../pickle/builtin-reconstructors.ts';
import { HEAP_COST } from '../pickle/limits.ts';
import type { Reconstructor } from '../pickle/machine.ts';
import {
  type PersistentValue,
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyObject,
  PyTuple,
  type Value,
} from '../pickle/values.ts';
import { bytesOfElements, type DType, type Quantizer, type Tensor } from '../tensor.ts';
import { dtypeNamed } from './dtype-names.ts';
import { type StorageTable, TorchStorage } from './storage-table.ts';
import { checkGeometry, type Geometry, GeometryFault, geometryFault } from './tensor-geometry.ts';
import { TensorObject } from './tensor-object.ts';
import { type Annotations, TorchTensor } from './torch-tensor.ts';

interface TensorArguments {
  readonly storage: Value | undefined;
  readonly offset: Value | undefined;
  readonly size: Value | undefined;
  readonly stride: Value | undefined;
  readonly requiresGrad?: Value | undefined;
  readonly dtype?: DType | undefined;
  readonly metadata?: Value | undefined;
  readonly quantizer?: Quantizer | undefined;
}

export interface TensorSources {
  /** Opens what `torch.storage._load_from_bytes` is given: an inner torch file. */
  readonly loadFromBytes?: (bytes: PyBytes, account: Account) => Value | undefined;
  /** The tensors that `torch.jit._pickle.build_tensor_from_id` means. */
  readonly tensorFromId?: (id: number) => Tensor | undefined;
}

const REBUILD_FROM_TYPE = 'torch._tensor._rebuild_from_type_v2';

/**
 * Libraries with tensor subclasses have a `_rebuild_from_type` of their own, which takes what torch's takes. `has` does not know it: a module that
 * is not torch's is one that the user should hear of.
 */
class ReconstructorTable extends Map<string, Reconstructor> {
  override get(path: string): Reconstructor | undefined {
    return super.get(path) ?? (isRebuildFromType(path) ? super.get(REBUILD_FROM_TYPE) : undefined);
  }
}

function isRebuildFromType(path: string): boolean {
  return /\._rebuild_from_type(_v2)?$/.test(path);
}

/** The table for one pickle, over its storages. */
export class TorchReconstructors {
  readonly table: ReadonlyMap<string, Reconstructor>;
  /** Tensors that do not fit their storage, with the reason. */
  readonly faults = new Map<Tensor, string>();
  readonly #storages: StorageTable;

  /** `others` are the reconstructors of other libraries. */
  constructor(
    storages: StorageTable,
    { loadFromBytes, tensorFromId }: TensorSources = {},
    others: Iterable<readonly [path: string, reconstructor: Reconstructor]> = [],
  ) {
    this.#storages = storages;
    this.table = new ReconstructorTable([
      ...BUILTIN_RECONSTRUCTORS,
      ...others,
      ['torch._utils._rebuild_tensor', (args, account) => this.#rebuildTensor(args, account)],
      ['torch._utils._rebuild_tensor_v2', (args, account) => this.#rebuildTensor(args, account)],
      ['torch._utils._rebuild_tensor_v3', (args, account) => this.#rebuildTensorV3(args, account)],
      ['torch._utils._rebuild_qtensor', (args, account) => this.#rebuildQuantized(args, account)],
      ['torch._utils._rebuild_parameter', (args, account) => this.#rebuildParameter(args, account)],
      [
        'torch._utils._rebuild_parameter_with_state',
        (args, account) => this.#rebuildParameter(args, account),
      ],
      ['torch.nn.parameter.Parameter', (args, account) => this.#rebuildParameter(args, account)],
      ['torch.nn.parameter.Buffer', (args) => tensorOf(items(args)?.[0])],
      ['torch.autograd.variable.Variable', (args) => tensorOf(items(args)?.[0])],
      ['torch._utils._rebuild_meta_tensor_no_storage', (args, account) => this.#rebuildMeta(args, account)],
      ['torch._utils._rebuild_device_tensor_from_cpu_tensor', (args) => tensorOf(items(args)?.[0])],
      ['torch._utils._rebuild_sparse_tensor', rebuildSparse],
      ['torch._utils._rebuild_sparse_csr_tensor', rebuildSparse],
      ['torch._utils._rebuild_nested_tensor', rebuildNested],
      ['torch._utils._rebuild_device_tensor_from_numpy', (args, account) => rebuildFromNumpy(args, account)],
      [REBUILD_FROM_TYPE, (args, account) => this.#rebuildFromType(args, account)],
      ['fastai.torch_core._fa_rebuild_tensor', (args, account) => this.#rebuildOfClass(args, account)],
      [
        'torch.jit._pickle.build_tensor_from_id',
        (args) => {
          const id = items(args)?.[0];
          return typeof id === 'number' ? tensorFromId?.(id) : undefined;
        },
      ],
      ['torch.Size', (args) => sizeOf(args)],
      [
        'torch.storage._load_from_bytes',
        (args, account) => {
          const bytes = items(args)?.[0];
          return bytes instanceof PyBytes ? loadFromBytes?.(bytes, account) : undefined;
        },
      ],
    ]);
  }

  /** BUILD on a tensor: old Parameters and Variables set `(requires_grad, volatile, hooks)`. */
  build(target: PersistentValue, state: Value): void {
    const requiresGrad = items(state)?.[0];
    if (target instanceof TorchTensor && typeof requiresGrad === 'boolean')
      target.requiresGrad = requiresGrad;
  }

  /** What `_rebuild_tensor_v2` makes of a storage and of lists of non-negative integers of one length. */
  tensorOver(
    typed: TorchStorage,
    storageOffset: number,
    shape: readonly number[],
    stride: readonly number[],
    requiresGrad: boolean,
  ): TorchTensor {
    const dtype = typed.dtype ?? 'uint8';
    const storage = this.#storages.canonical(typed);
    const fault = geometryFault(storageOffset, shape, stride, dtype, typed.nbytes);
    if (fault === undefined)
      return new TorchTensor({ dtype, shape, stride, storageOffset, storage }, requiresGrad);
    return this.#made(new TorchTensor({ ...NO_GEOMETRY, dtype, storage }, requiresGrad), { fault });
  }

  /** (storage, offset, size, stride[, requires_grad, hooks[, metadata]]) */
  #rebuildTensor(args: Value, account: Account): Value | undefined {
    const [storage, offset, size, stride, requiresGrad, , metadata] = items(args) ?? [];
    return this.#tensor({ storage, offset, size, stride, requiresGrad, metadata }, account);
  }

  /** (storage, offset, size, stride, requires_grad, hooks, dtype[, metadata]) */
  #rebuildTensorV3(args: Value, account: Account): Value | undefined {
    const [storage, offset, size, stride, requiresGrad, , dtypeValue, metadata] = items(args) ?? [];
    const dtype = dtypeOf(dtypeValue);
    if (dtype === undefined) return undefined;
    return this.#tensor({ storage, offset, size, stride, requiresGrad, dtype, metadata }, account);
  }

  /** (storage, offset, size, stride, quantizer_params, requires_grad, hooks) */
  #rebuildQuantized(args: Value, account: Account): Value | undefined {
    const [storage, offset, size, stride, parameters, requiresGrad] = items(args) ?? [];
    const quantizer = quantizerOf(parameters);
    return this.#tensor({ storage, offset, size, stride, requiresGrad, quantizer }, account);
  }

  /** (data, requires_grad, hooks[, state]); the class itself takes (data[, requires_grad]). */
  #rebuildParameter(args: Value, account: Account): Value | undefined {
    const [data, requiresGrad, , state] = items(args) ?? [];
    if (!(data instanceof TorchTensor)) return undefined;
    account.heap(HEAP_COST.tensor);
    const parameter = new TorchTensor(data, requiresGrad !== false, true, data);
    keepAttributes(parameter, state ?? data.attributes);
    this.#passFault(data, parameter);
    return parameter;
  }

  /** (dtype, size, stride, requires_grad) */
  #rebuildMeta(args: Value, account: Account): Value | undefined {
    const [dtypeValue, size, stride, requiresGrad] = items(args) ?? [];
    const dtype = dtypeOf(dtypeValue);
    if (dtype === undefined) return undefined;
    account.heap(HEAP_COST.tensor + HEAP_COST.storage);
    const geometry = this.#geometry(0, size, stride, dtype, Number.MAX_SAFE_INTEGER);
    const { shape, stride: strides } = geometry;
    const last = shape.reduce((index, extent, dim) => index + (extent - 1) * (strides[dim] as number), 0);
    const nbytes = shape.includes(0) ? 0 : bytesOfElements(dtype, last + 1);
    const storage = this.#storages.absent(dtype, nbytes, 'meta', 'a tensor on the meta device has no bytes');
    return this.#made(new TorchTensor({ ...geometry, dtype, storage }, requiresGrad === true), geometry);
  }

  /** (func, type, args, state): `func(*args)` made a `type`. */
  #rebuildFromType(args: Value, account: Account): Value | undefined {
    const [inner, type, innerArgs, state] = items(args) ?? [];
    if (!(inner instanceof PyGlobal) || innerArgs === undefined) return undefined;
    const made = inner.name.startsWith('_rebuild_from_type')
      ? undefined
      : this.table.get(inner.path)?.(innerArgs, account);
    const className = type instanceof PyGlobal ? type.path : undefined;
    if (made instanceof TensorObject) {
      account.heap(HEAP_COST.object);
      const isPlain = className === undefined || className === 'torch.Tensor';
      const object = new TensorObject(isPlain ? made.callable : (type as PyGlobal), made.args);
      object.dictItems = made.dictItems;
      object.state = state;
      return object;
    }
    if (!(made instanceof TorchTensor)) {
      account.heap(HEAP_COST.object);
      const object = new TensorObject(type ?? inner, innerArgs);
      object.state = state;
      return object;
    }
    const tensor = this.#asSubclass(made, className, account);
    keepAttributes(tensor, state);
    return tensor;
  }

  /** (cls, storage, offset, size, stride, requires_grad, hooks): `cls` of a tensor. */
  #rebuildOfClass(args: Value, account: Account): Value | undefined {
    const [type, ...rest] = items(args) ?? [];
    const made = this.#rebuildTensor(new PyTuple(rest), account);
    if (!(made instanceof TorchTensor)) return undefined;
    return this.#asSubclass(made, type instanceof PyGlobal ? type.path : undefined, account);
  }

  #asSubclass(made: TorchTensor, className: string | undefined, account: Account): TorchTensor {
    if (className === undefined || className === 'torch.Tensor') return made;
    account.heap(HEAP_COST.tensor);
    const isParameter = made.isParameter || className === 'torch.nn.parameter.Parameter';
    const tensor = new TorchTensor(made, made.requiresGrad, isParameter, { ...made, note: className });
    this.#passFault(made, tensor);
    return tensor;
  }

  #tensor(args: TensorArguments, account: Account): Value | undefined {
    const typed = args.storage;
    if (!(typed instanceof TorchStorage)) return undefined;
    account.heap(HEAP_COST.tensor);
    const dtype = args.dtype ?? typed.dtype ?? 'uint8';
    const geometry = this.#geometry(args.offset, args.size, args.stride, dtype, typed.nbytes);
    const { shape, stride, storageOffset } = geometry;
    const view = { shape, stride, storageOffset, dtype, storage: this.#storages.canonical(typed) };
    const annotations = annotationsOf(args.metadata, args.quantizer);
    return this.#made(new TorchTensor(view, args.requiresGrad === true, false, annotations), geometry);
  }

  /** The geometry if it fits; otherwise an empty one and the reason. */
  #geometry(
    offset: Value | undefined,
    size: Value | undefined,
    stride: Value | undefined,
    dtype: DType,
    storageBytes: number,
  ): Geometry & { readonly fault?: string } {
    try {
      return checkGeometry(offset, size, stride, dtype, storageBytes);
    } catch (cause) {
      if (!(cause instanceof GeometryFault)) throw cause;
      return { ...NO_GEOMETRY, fault: cause.message };
    }
  }

  #made(tensor: TorchTensor, { fault }: { readonly fault?: string }): TorchTensor {
    if (fault !== undefined) this.faults.set(tensor, fault);
    return tensor;
  }

  #passFault(from: Tensor, to: Tensor): void {
    const fault = this.faults.get(from);
    if (fault !== undefined) this.faults.set(to, fault);
  }
}

/** Of a tensor that does not fit its storage. */
const NO_GEOMETRY: Geometry = { shape: [0], stride: [1], storageOffset: 0 };

/** Most have none, or empty ones. */
function keepAttributes(tensor: TorchTensor, state: Value | undefined): void {
  const dicts = state instanceof PyTuple ? state.items : [state];
  if (dicts.some((dict) => dict instanceof PyDict && dict.entries.length > 0))
    tensor.attributes = state as Value;
}

function tensorOf(value: Value | undefined): Value | undefined {
  return value instanceof TorchTensor ? value : undefined;
}

/** (array, dtype, device, requires_grad): how a tensor of a device without storages is saved. A dtype that NumPy lacks stays a call. */
function rebuildFromNumpy(args: Value, account: Account): Value | undefined {
  const [array, dtype, , requiresGrad] = items(args) ?? [];
  if (!(array instanceof TorchTensor) || dtypeOf(dtype) !== array.dtype) return undefined;
  account.heap(HEAP_COST.tensor);
  return new TorchTensor(array, requiresGrad === true);
}

function dtypeOf(value: Value | undefined): DType | undefined {
  return value instanceof PyGlobal ? dtypeNamed(value.module, value.name) : undefined;
}

/** `{'conj': True, 'neg': True}` are bits that torch resolves when it reads an element. */
function annotationsOf(
  metadata: Value | undefined,
  quantizer: Quantizer | undefined,
): Annotations | undefined {
  const bits = metadata instanceof PyDict ? metadata : undefined;
  if (bits === undefined && quantizer === undefined) return undefined;
  return {
    ...(bits?.get('conj') === true ? { conj: true } : {}),
    ...(bits?.get('neg') === true ? { neg: true } : {}),
    ...(quantizer === undefined ? {} : { quantizer }),
  };
}

/** (torch.per_tensor_affine, scale, zero_point) or (torch.per_channel_affine, scales, zero_points, axis). */
function quantizerOf(value: Value | undefined): Quantizer | undefined {
  const [scheme, scale, zeroPoint, axis] = items(value) ?? [];
  const scaleOf = numberOrTensor(scale);
  const zeroPointOf = numberOrTensor(zeroPoint);
  if (!(scheme instanceof PyGlobal) || scaleOf === undefined || zeroPointOf === undefined) return undefined;
  return {
    scheme: scheme.name,
    scale: scaleOf,
    zeroPoint: zeroPointOf,
    ...(typeof axis === 'number' ? { axis } : {}),
  };
}

function numberOrTensor(value: Value | undefined): number | Tensor | undefined {
  if (value instanceof PyFloat) return value.value;
  return typeof value === 'number' || value instanceof TorchTensor ? value : undefined;
}

function sizeOf(args: Value): Value | undefined {
  const size = items(args)?.[0];
  return size instanceof PyTuple ? new PyTuple(size.items, 'torch.Size') : undefined;
}

/** The names of a sparse layout's components, by how many there are before the size. */
const SPARSE_COMPONENTS: ReadonlyMap<string, readonly string[]> = new Map([
  ['sparse_coo', ['indices', 'values', 'size', 'is_coalesced']],
  ['sparse_csr', ['crow_indices', 'col_indices', 'values', 'size']],
  ['sparse_csc', ['ccol_indices', 'row_indices', 'values', 'size']],
  ['sparse_bsr', ['crow_indices', 'col_indices', 'values', 'size']],
  ['sparse_bsc', ['ccol_indices', 'row_indices', 'values', 'size']],
]);

/** (layout, components): an object with its component tensors as items. */
function rebuildSparse(args: Value, account: Account): Value | undefined {
  const [layout, components] = items(args) ?? [];
  const name = layoutName(layout);
  const names = name === undefined ? undefined : SPARSE_COMPONENTS.get(name);
  const parts = items(components);
  if (name === undefined || names === undefined || parts === undefined) return undefined;
  return componentObject(new PyGlobal('torch', name), names, parts, account);
}

/** (buffer, sizes, strides, storage_offsets) */
function rebuildNested(args: Value, account: Account): Value | undefined {
  const parts = items(args);
  if (parts === undefined) return undefined;
  const names = ['buffer', 'sizes', 'strides', 'storage_offsets'];
  return componentObject(new PyGlobal('torch', 'nested_tensor'), names, parts, account);
}

function componentObject(
  layout: PyGlobal,
  names: readonly string[],
  parts: readonly Value[],
  account: Account,
): PyObject {
  account.heap(HEAP_COST.object + HEAP_COST.dict + names.length * HEAP_COST.item);
  const object = new TensorObject(layout, new PyTuple([]));
  const components = new PyDict();
  names.forEach((name, index) => {
    const part = parts[index];
    if (part !== undefined) components.set(name, part);
  });
  object.dictItems = components;
  return object;
}

/** `torch.sparse_coo`, as a global or as `torch.serialization._get_layout('torch.sparse_coo')`. */
function layoutName(value: Value | undefined): string | undefined {
  if (value instanceof PyGlobal) return value.name;
  const text = value instanceof PyObject ? items(value.args)?.[0] : value;
  return typeof text === 'string' ? text.replace(/^torch\./, '') : undefined;
}
