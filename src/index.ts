/**
 * MLFS as a library: open a checkpoint without PyTorch, list its tensors, read one, mount it, commit the edits of a mount.
 *
 * ```js
 * import { openCheckpoint } from 'mlfs';
 *
 * const checkpoint = await openCheckpoint('model.pt');
 * for (const { name, dtype, shape } of checkpoint.tensors) console.log(name, dtype, shape);
 * const bytes = await checkpoint.readTensor('fc.weight');
 * await checkpoint.close();
 * ```
 *
 * No part of a pickle is run, and no tensor is read before a caller asks for it.
 */
import { constants } from 'node:buffer';
import { resolve } from 'node:path';
import type { Checkpoint, CheckpointFormat } from './checkpoint/checkpoint.ts';
import {
  type Model,
  modelOf,
  type NameAndTensor,
  nameTensors,
  type TensorNames,
} from './checkpoint/model.ts';
import { openCheckpoint as openFile } from './checkpoint/open.ts';
import { type StorageUse, storageUse } from './checkpoint/storage-use.ts';
import { type DType, nbytes, type Tensor } from './checkpoint/tensor.ts';
import { tensorContent } from './checkpoint/tensor-content.ts';
import {
  checkMapAccess,
  mapTensor,
  type TensorArray,
  type TensorMapping,
} from './checkpoint/tensor-mapping.ts';
import { ViewSet } from './checkpoint/tensor-views.ts';
import { MlfsError } from './errors.ts';
import type { MountOptions } from './mount/mount-options.ts';
import type { Mounted, MountSummary } from './mount/mounted.ts';
import type { FixedContent } from './storage/content.ts';
import type { CommitReport } from './storage/edits.ts';
import type { MapAccess, MappingIntent, MappingMode } from './storage/mapped-range.ts';
import { readContent } from './storage/read-extents.ts';
import { DEFAULT_RENDERED_PAGES_BYTES, RenderedPages } from './storage/rendered-pages.ts';
import type { CommitRequest, EditTarget } from './targets/edit-target.ts';
import type { TargetStatus as EditsStatus } from './targets/status-document.ts';
import { hasSafetensorsExport } from './tree/export-room.ts';
import { omittedTensors } from './tree/safetensors-export.ts';
import { fileOffset } from './tree/tensor-files.ts';
import { quoteName } from './visible-text.ts';

export { type ErrorCode, EXIT, type ExitCode, MlfsError } from './errors.ts';
export type {
  CheckpointFormat,
  CommitReport,
  DType,
  EditsStatus,
  MappingIntent,
  MappingMode,
  Mounted,
  MountOptions,
  MountSummary,
  TensorArray,
  TensorMapping,
};

/** The facts about a tensor that are known without reading it. */
export interface TensorInfo {
  /** As in torch's `state_dict()` for the model; for other tensors the path from the root. Keys of nested dicts are joined by dots. */
  readonly name: string;
  /** torch's name without the `torch.` prefix. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Strides as saved, in elements. What `readTensor` returns is in C order, whatever the stride. */
  readonly stride: readonly number[];
  /** Size of the tensor's exact C-order bytes. */
  readonly nbytes: number;
  readonly requiresGrad: boolean;
  /** The key of the tensor's storage in the file. Tied tensors have the same key. */
  readonly storage: string;
  /** Offset of the tensor's first byte in the checkpoint file, in bytes; undefined if the tensor is compressed or not in the file. */
  readonly fileOffset: number | undefined;
}

export interface OpenOptions {
  /** Maximum memory for inflated and gathered tensors, in bytes; default 256 MiB. */
  readonly cacheBytes?: number;
}

export interface ReadRange {
  /** Offset from the tensor's first byte, in bytes; default 0. */
  readonly offset?: number;
  /** Length in bytes; default everything after the offset. A range that goes beyond the end of the tensor is cut there. */
  readonly length?: number;
}

/** How to map a tensor, and which window of it: `mode`, `intent`, `offset` and `length` in bytes. */
export interface MapOptions extends MapAccess, ReadRange {}

/** Opens a checkpoint of any known format; reads no tensor. Throws MlfsError with a `code` and advice. */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<OpenedCheckpoint> {
  return new OpenedCheckpoint(await openFile(path), options);
}

/** Mounts a checkpoint on a directory; see OpenedCheckpoint.mount. */
export async function mount(path: string, mountpoint: string, options: MountOptions = {}): Promise<Mounted> {
  const wired = await import('./mount/mount.ts');
  return wired.mount(path, mountpoint, options);
}

/** Where the edits of a checkpoint are. */
export interface EditsOptions {
  /** The state directory: `--state DIR` of the mount that made the edits; default `<checkpoint>.mlfs`. */
  readonly stateDirectory?: string | undefined;
}

export interface CommitOptions extends EditsOptions, CommitRequest {}

/**
 * Writes the edits of a checkpoint into its file, or with `to` into a new file. `target` is a checkpoint file or a mount point of another
 * process; if another process has the checkpoint mounted, that process commits. For a mount of this process use `mounted.commit()`. Throws
 * ERR_MLFS_STALE, ERR_MLFS_BUSY, ERR_MLFS_RECOVERY, ERR_MLFS_ACCESS.
 */
export async function commit(target: string, { to, ...options }: CommitOptions = {}): Promise<CommitReport> {
  const edits = await editsOf(target, options);
  return edits.commit({ ...options, to: to && resolve(to) });
}

/** Drops every edit of a checkpoint that was not committed. `target` as for `commit`. */
export async function discard(target: string, options: EditsOptions = {}): Promise<CommitReport> {
  return (await editsOf(target, options)).discard();
}

/** Describes the edits that were not committed. `target` as for `commit`. */
export async function status(target: string, options: EditsOptions = {}): Promise<EditsStatus> {
  return (await editsOf(target, options)).status();
}

/** An open checkpoint file. Close it, or declare it with `await using`. */
export class OpenedCheckpoint implements AsyncDisposable {
  /** Every tensor under every name, the model's first. A tensor with several names is listed under each; no name occurs twice. */
  readonly tensors: readonly TensorInfo[];
  readonly #checkpoint: Checkpoint;
  readonly #cache: RenderedPages;
  readonly #model: Model;
  readonly #names: TensorNames;
  /** The path of the model from the root, such as `state_dict`. */
  readonly #modelPath: string;
  /** The places of names in `tensors`; made when a name is looked for. */
  #places: Map<string, number> | undefined;
  readonly #contents = new Map<string, FixedContent>();

  /** Internal: `openCheckpoint` creates these objects. */
  constructor(checkpoint: Checkpoint, options: OpenOptions) {
    this.#checkpoint = checkpoint;
    this.#cache = new RenderedPages(options.cacheBytes ?? DEFAULT_RENDERED_PAGES_BYTES);
    this.#model = modelOf(checkpoint);
    this.#names = nameTensors(checkpoint, this.#model);
    this.#modelPath = this.#names.modelName;
    this.tensors = this.#names.all.map(({ name, tensor }) => describe(name, tensor));
  }

  get path(): string {
    return this.#checkpoint.path;
  }

  get format(): CheckpointFormat {
    return this.#checkpoint.format;
  }

  /** Size of the checkpoint file, in bytes. */
  get fileSize(): number {
    return this.#checkpoint.image.size;
  }

  /** Bytes of the storages in the file, and how many of them belong to no tensor. */
  get storageUse(): StorageUse {
    const { storages, tensors } = this.#checkpoint;
    return storageUse(
      storages.values(),
      tensors.map(({ tensor }) => tensor),
    );
  }

  /** Additional facts, depending on the format: torch's version record, safetensors' `__metadata__`. */
  get metadata(): Readonly<Record<string, string>> {
    return this.#checkpoint.metadata;
  }

  /** What is unusual about the file but does not prevent reading. */
  get warnings(): readonly MlfsError[] {
    return this.#checkpoint.warnings;
  }

  /** Names of Python globals that the pickle mentions and MLFS does not know. None was imported or called. */
  get unknownGlobals(): readonly string[] {
    return this.#checkpoint.unknownGlobals;
  }

  /** How many tensors there are, those with several names once. */
  get tensorCount(): number {
    return this.#names.tensors;
  }

  /** Each tensor once, under the first of its names. */
  *distinctTensors(): Generator<TensorInfo, void> {
    const seen = new ViewSet();
    for (const [index, { tensor }] of this.#names.all.entries()) {
      if (seen.add(tensor)) yield this.tensors[index] as TensorInfo;
    }
  }

  /** The path of the model from the root, such as `state_dict`, and how many tensors it has, those with several names once. */
  get model(): { readonly path: string; readonly tensors: number } {
    const seen = new ViewSet();
    for (const { tensor } of this.#model.tensors) seen.add(tensor);
    return { path: this.#modelPath, tensors: seen.size };
  }

  /** Tensors that belong to the model and are not in /model of a mount, and why. */
  get leftOut(): readonly { readonly name: string; readonly reason: string }[] {
    return this.#names.leftOut.map(({ name, reason }) => ({ name, reason }));
  }

  /** Tensors of the model that the safetensors export of a mount cannot hold, and why; none if there is no such export. */
  get notExported(): readonly { readonly name: string; readonly reason: string }[] {
    const { tensors } = this.#model;
    if (!hasSafetensorsExport(this.#checkpoint, tensors)) return [];
    return Array.from(omittedTensors(tensors, this.#cache), ({ name, reason }) => ({ name, reason }));
  }

  /** Names that end in `~2`, `~3`, …, because another tensor has the name without it. */
  get separatedNames(): readonly string[] {
    return this.#names.separated;
  }

  /** By its name; a tensor of the model by its full path from the root, too: `state_dict.fc.bias`. */
  get(name: string): TensorInfo | undefined {
    const place = this.#find(name);
    return place === undefined ? undefined : this.tensors[place];
  }

  /** The tensors of a module, or one tensor: `layers.1` and not `layers.10` too, unless nothing is called so. */
  below(name: string): readonly TensorInfo[] {
    const inside = (module: string, count = this.tensors.length) => {
      const start = `${module}.`;
      return this.tensors
        .slice(0, count)
        .filter((tensor) => tensor.name === module || tensor.name.startsWith(start));
    };
    const short = this.#inModel(name);
    const { inModel } = this.#names;
    const ofModel =
      short === undefined ? [] : short === '' ? this.tensors.slice(0, inModel) : inside(short, inModel);
    // What is called by its full path: a tensor that was left out of the model, or one of another part with that name.
    const found = new Set([...ofModel, ...inside(name)]);
    return found.size > 0 ? [...found] : this.tensors.filter((tensor) => tensor.name.startsWith(name));
  }

  /** The bytes of a range, in C order and little-endian. Throws ERR_MLFS_USAGE, ERR_MLFS_NOT_FOUND, ERR_MLFS_IO, ERR_MLFS_TRUNCATED. */
  async read(name: string, range: ReadRange = {}): Promise<Buffer> {
    const content = this.#contentOf(name);
    const { offset, length } = rangeWithin(name, content.size, range);
    if (length > constants.MAX_LENGTH) {
      throw new MlfsError('ERR_MLFS_USAGE', `${name}: ${length} bytes do not fit into one Buffer`, {
        advice: 'read it in ranges: read(name, { offset, length })',
      });
    }
    const result = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at += READ_BYTES) {
      const part = Math.min(READ_BYTES, length - at);
      result.set(await readContent(content, offset + at, part), at);
    }
    return result;
  }

  /** The whole tensor: exactly `nbytes` bytes, in C order and little-endian. */
  readTensor(name: string): Promise<Buffer> {
    return this.read(name);
  }

  /**
   * The tensor, or a window of it, as memory: no copy, at the speed of memory, whatever its size. For tensors whose bytes lie in the file in one piece and
   * are neither compressed nor big-endian. It shows the file: edits of a mount only once they are committed. If another program truncates
   * the file, what is gone reads as zeros and `check()` throws. Ask it before a result is used:
   *
   * ```js
   * using weight = checkpoint.map('fc.weight', { mode: 'r', intent: 'sequential' });
   * let sum = 0;
   * for (const value of weight.array) sum += value;
   * weight.check();
   * ```
   *
   * Throws ERR_MLFS_USAGE (with advice, if this tensor cannot be mapped), ERR_MLFS_NOT_FOUND, ERR_MLFS_TRUNCATED, ERR_MLFS_STORAGE, ERR_MLFS_IO.
   */
  map(name: string, options: MapOptions): TensorMapping {
    checkMapAccess(name, options);
    const { tensor, content } = this.#tensorOf(name);
    const { offset, length } = rangeWithin(name, content.size, options);
    return mapTensor(name, tensor, content, offset, length, options);
  }

  /**
   * The tensor as a Buffer over the file, as `map` with mode `c` makes it: writing to it changes this process's copy of a page, and never the file. Until the
   * garbage collector takes it, it stays. It does not say whether the file was truncated, and shows zeros then: `map` says it. Throws as `map`.
   */
  view(name: string): Buffer {
    const { bytes } = this.map(name, { mode: 'c' });
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The tensor, or a range of it, in pieces of at most 1 MiB: memory stays bounded, whatever the tensor's size. */
  async *stream(name: string, range: ReadRange = {}): AsyncGenerator<Buffer> {
    const { size } = this.#contentOf(name);
    const end = Math.min(size, (range.offset ?? 0) + (range.length ?? size));
    for (let at = range.offset ?? 0; at < end; at += READ_BYTES) {
      yield await this.read(name, { offset: at, length: Math.min(READ_BYTES, end - at) });
    }
  }

  /** Mounts this checkpoint's file. The file is opened again, so the mount outlives `close`. */
  mount(mountpoint: string, options: MountOptions = {}): Promise<Mounted> {
    return mount(this.path, mountpoint, options);
  }

  close(): Promise<void> {
    return this.#checkpoint.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The place of a tensor in `tensors`. */
  #find(name: string): number | undefined {
    this.#places ??= new Map(this.tensors.map((tensor, index) => [tensor.name, index]));
    const own = this.#places.get(name);
    if (own !== undefined) return own;
    const short = this.#inModel(name);
    const full = short === undefined ? undefined : this.#places.get(short);
    return full !== undefined && full < this.#names.inModel ? full : undefined;
  }

  /** The name in the model of a tensor with this full path; undefined if it is not below the model. */
  #inModel(name: string): string | undefined {
    if (this.#modelPath === '') return undefined;
    if (name === this.#modelPath) return '';
    return name.startsWith(`${this.#modelPath}.`) ? name.slice(this.#modelPath.length + 1) : undefined;
  }

  #contentOf(name: string): FixedContent {
    return this.#tensorOf(name).content;
  }

  #tensorOf(name: string): { readonly tensor: Tensor; readonly content: FixedContent } {
    const place = this.#find(name);
    if (place === undefined) {
      throw new MlfsError('ERR_MLFS_NOT_FOUND', `${this.path}: has no tensor ${quoteName(name)}`, {
        path: this.path,
        advice: `mlfs ls ${this.path}`,
      });
    }
    const { name: own, tensor } = this.#names.all[place] as NameAndTensor;
    let content = this.#contents.get(own);
    if (content === undefined) {
      // tensorContent makes nothing else.
      content = tensorContent(tensor, this.#cache) as FixedContent;
      this.#contents.set(own, content);
    }
    return { tensor, content };
  }
}

async function editsOf(target: string, { stateDirectory }: EditsOptions): Promise<EditTarget> {
  const [{ findEditTarget }, { ownMounts }] = await Promise.all([
    import('./targets/find-edit-target.ts'),
    import('./targets/own-mounts.ts'),
  ]);
  return findEditTarget(target, { ownMounts, stateDirectory });
}

/** The range in full, cut at the end of the tensor. Throws ERR_MLFS_USAGE. */
function rangeWithin(name: string, size: number, range: ReadRange): { offset: number; length: number } {
  const offset = range.offset ?? 0;
  const wanted = range.length ?? size - offset;
  const length = Math.min(wanted, size - offset);
  if (
    !Number.isSafeInteger(offset) ||
    offset < 0 ||
    offset > size ||
    !(Number.isSafeInteger(length) && length >= 0)
  ) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${name}: offset ${offset}, length ${wanted} is not a range of its ${size} bytes`,
    );
  }
  return { offset, length };
}

/** Size of the pieces in which a read is done: the memory in use besides the result. */
const READ_BYTES = 1024 * 1024;

function describe(name: string, tensor: Tensor): TensorInfo {
  return {
    name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    nbytes: nbytes(tensor),
    requiresGrad: tensor.requiresGrad,
    storage: tensor.storage.key,
    fileOffset: fileOffset(tensor),
  };
}
