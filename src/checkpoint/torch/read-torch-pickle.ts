import { MlfsError } from '../../errors.ts';
import { quoteName } from '../../visible-text.ts';
import { NumpyArrays } from '../numpy/arrays.ts';
import { listTensors } from '../object-tree.ts';
import type { Account } from '../pickle/account.ts';
import type { PickleLimits } from '../pickle/limits.ts';
import type { PickleOrigin } from '../pickle/origin.ts';
import { type PicklePlace, placeName } from '../pickle/refusal.ts';
import { readPickle } from '../pickle/unpickle.ts';
import type { PyBytes, Value } from '../pickle/values.ts';
import type { NamedTensor, Tensor } from '../tensor.ts';
import { isKnownGlobal } from './known-globals.ts';
import { TorchReconstructors } from './reconstructors.ts';
import type { StorageTable } from './storage-table.ts';
import { TensorOpcodes } from './tensor-opcodes.ts';

export interface TorchPickle {
  readonly value: Value;
  readonly bytesConsumed: number;
  readonly persistentIds: number;
  /** `module.name` of the globals that were named and not known. */
  readonly unknownGlobals: readonly string[];
  readonly faults: ReadonlyMap<Tensor, string>;
}

export interface TorchPickleOptions extends PicklePlace {
  readonly start?: number;
  readonly limits?: Partial<PickleLimits> | undefined;
  /** Opens what `torch.storage._load_from_bytes` is given. */
  readonly loadFromBytes?: (bytes: PyBytes, account: Account) => Value | undefined;
  /** Where the pickle lies in the file, if it lies there uncompressed. */
  readonly origin?: PickleOrigin | undefined;
  /** The tensors that `torch.jit._pickle.build_tensor_from_id` means. */
  readonly tensorFromId?: (id: number) => Tensor | undefined;
}

/** Interprets one pickle of a torch file over the storages it names. */
export function readTorchPickle(
  bytes: Buffer,
  storages: StorageTable,
  options: TorchPickleOptions,
): TorchPickle {
  const numpy = new NumpyArrays(storages, options.origin);
  const torch = new TorchReconstructors(storages, options, numpy.table);
  const opcodes = new TensorOpcodes(storages, torch);
  const unpickled = readPickle(bytes, {
    ...options,
    shortcut: (machine, start) => opcodes.read(machine, start),
    reconstructors: torch.table,
    persistentLoad: (id) => storages.load(id),
    build: (target, state) => torch.build(target, state),
    finish: (object, state, account) => numpy.finish(object, state, account),
  });
  const unknown = unpickled.globals.filter((global) => !isKnownGlobal(global, torch.table));
  return {
    value: unpickled.value,
    bytesConsumed: unpickled.bytesConsumed,
    persistentIds: unpickled.persistentIds,
    unknownGlobals: unknown.map((global) => global.path),
    faults: torch.faults,
  };
}

/**
 * The tensors of a pickle by name. Throws ERR_MLFS_TENSOR for one that leaves its storage, by its name, and adds a
 * warning when shared objects were not listed at all of their paths.
 */
export function namedTensors(
  pickle: Pick<TorchPickle, 'value' | 'faults'>,
  place: PicklePlace,
  prefix: readonly string[],
  warnings: MlfsError[],
): readonly NamedTensor[] {
  const { tensors, abridged } = listTensors(pickle.value, place.path, prefix);
  if (pickle.faults.size > 0) {
    const bad = tensors.find(({ tensor }) => pickle.faults.has(tensor));
    const name = bad === undefined ? 'a tensor' : `tensor ${quoteName(bad.path.join('.'))}`;
    const fault = bad === undefined ? [...pickle.faults.values()][0] : pickle.faults.get(bad.tensor);
    throw new MlfsError('ERR_MLFS_TENSOR', `${placeName(place)}: ${name}: ${fault}`, { path: place.path });
  }
  if (abridged) {
    warnings.push(
      new MlfsError(
        'ERR_MLFS_LIMIT',
        `${placeName(place)}: objects are shared too often; some are listed at their first path only`,
        { path: place.path },
      ),
    );
  }
  return tensors;
}
