import type { MlfsError } from '../errors.ts';
import type { Image } from '../storage/image.ts';
import type { PickleLimits } from './pickle/limits.ts';
import type { Value } from './pickle/values.ts';
import type { NamedTensor, Storage } from './tensor.ts';
import type { ArchiveRecords } from './torch/archive-layout.ts';
import type { ZipEntry } from './zip/entry.ts';

export type CheckpointFormat =
  | 'torch-zip'
  | 'torchscript'
  | 'torch-legacy'
  | 'torch-tar'
  | 'safetensors'
  | 'zip-bundle'
  /** `.pt2` of torch.export. */
  | 'torch-export'
  /** A pickle without torch's container: no tensor bytes of its own. */
  | 'pickle';

/**
 * The contents of a checkpoint file: an object tree whose leaves are tensors, the storages in the image, and warnings about
 * anything odd. Opening reads directories, headers and pickles; it never reads tensor bytes.
 */
export interface Checkpoint {
  readonly format: CheckpointFormat;
  /** The path as the user gave it. */
  readonly path: string;
  readonly image: Image;
  /** The pickled object, or for safetensors a PyDict of name → tensor. */
  readonly root: Value;
  /**
   * Pickles beside the main one, by their name without `.pkl`: TorchScript's `constants` and `bytecode`. Their tensors are in
   * `tensors` too, below that name.
   */
  readonly otherPickles?: ReadonlyMap<string, Value>;
  /** Every tensor at every path of the object tree, in the tree's order. */
  readonly tensors: readonly NamedTensor[];
  readonly storages: Storages;
  /** The archive entries, for verify and for /ir; empty for formats that are not archives. */
  readonly entries: readonly ZipEntry[];
  /** The same entries by their names below torch's folder, for an archive that torch wrote. */
  readonly records?: ArchiveRecords;
  /** GLOBALs that were named and not known, `module.name`, sorted. */
  readonly unknownGlobals: readonly string[];
  /** Problems that do not prevent reading. */
  readonly warnings: readonly MlfsError[];
  /** Free-form facts of the format: torch's version record, byteorder, safetensors' __metadata__. */
  readonly metadata: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** The storages of a checkpoint by their keys. */
export type Storages = Pick<
  ReadonlyMap<string, Storage>,
  'size' | 'get' | 'has' | 'keys' | 'values' | typeof Symbol.iterator
>;

/** What a file is parsed into, before it is bound to its image. */
export type ParsedCheckpoint = Omit<Checkpoint, 'image' | 'path' | 'close'>;

export interface ParseOptions {
  /** Raises or lowers what a pickle may ask for. */
  readonly limits?: Partial<PickleLimits> | undefined;
}
