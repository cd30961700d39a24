/**
 * MLFS as a library: open a checkpoint without PyTorch, list its tensors, read one, mount it, commit what was edited there.
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
 * Nothing of a pickle is run, and no tensor is read before somebody asks for it.
 */
import { constants } from 'node:buffer';
import { resolve } from 'node:path';
import type { Checkpoint, CheckpointFormat } from './checkpoint/checkpoint.ts';
import { modelOf, nameTensors, pathName, type TensorNames } from './checkpoint/model.ts';
import { openCheckpoint as openFile } from './checkpoint/open.ts';
import { type StorageUse, storageUse } from './checkpoint/storage-use.ts';
import { type DType, nbytes, type Tensor } from './checkpoint/tensor.ts';
import { tensorContent } from './checkpoint/tensor-content.ts';
import { ViewMap } from './checkpoint/tensor-views.ts';
import { MlfsError } from './errors.ts';
import type { CommitRequest, TargetStatus as EditsStatus, EditTarget } from './mount/edit-target.ts';
import type { Mounted, MountOptions, MountSummary } from './mount.ts';
import type { Content } from './storage/content.ts';
import type { CommitReport } from './storage/edits.ts';
import { mappedView } from './storage/mapped-view.ts';
import { DEFAULT_PAGE_CACHE_BYTES, PageCache } from './storage/page-cache.ts';
import { readExtents } from './storage/read-extents.ts';
import { fileOffset } from './tree/tensor-files.ts';
import { quoteName } from './visible-text.ts';

export { type ErrorCode, EXIT, type ExitCode, MlfsError } from './errors.ts';
export type { CheckpointFormat, CommitReport, DType, EditsStatus, Mounted, MountOptions, MountSummary };

/** What is known of a tensor without reading it. */
export interface TensorInfo {
  /** As in torch's `state_dict()` for the model; for other tensors the path from the root. Keys inside keys are joined by dots. */
  readonly name: string;
  /** torch's name without the `torch.` prefix. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** In elements, as saved. What `readTensor` returns is in C order whatever the stride. */
  readonly stride: readonly number[];
  /** Size of the exact C-order bytes. */
  readonly nbytes: number;
  readonly requiresGrad: boolean;
  /** The key of its storage in the file. Tied tensors have the same. */
  readonly storage: string;
  /** Of its first byte in the checkpoint file; undefined when it is compressed or not in the file. */
  readonly fileOffset: number | undefined;
}

export interface OpenOptions {
  /** Budget of the cache for inflated and gathered pages; 256 MiB by default. */
  readonly cacheBytes?: number;
}

export interface ReadRange {
  /** In bytes from the tensor's first; default 0. */
  readonly offset?: number;
  /** In bytes; default all there are. Cut at the end of the tensor. */
  readonly length?: number;
}

/** Opens a checkpoint of any known format. Throws MlfsError with a `code` and an advice. */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<OpenedCheckpoint> {
  return new OpenedCheckpoint(await openFile(path), options);
}

/** Mounts a checkpoint; see OpenedCheckpoint.mount. */
export async function mount(path: string, mountpoint: string, options: MountOptions = {}): Promise<Mounted> {
  const wired = await import('./mount.ts');
  return wired.mount(path, mountpoint, options);
}

/** Where the edits of a checkpoint are looked for, and how far a commit is. */
export interface EditsOptions {
  /** `--state DIR` of the mount that made them; default `<checkpoint>.mlfs`. */
  readonly stateDirectory?: string;
}

export interface CommitOptions extends EditsOptions, CommitRequest {}

/**
 * Folds the edits of a checkpoint into its file, or with `to` into a new one. A checkpoint that another process has mounted is committed by
 * that process; for a mount of this process use `mounted.commit()`. Throws ERR_MLFS_STALE, ERR_MLFS_BUSY, ERR_MLFS_RECOVERY, ERR_MLFS_ACCESS.
 */
export async function commit(target: string, { to, ...options }: CommitOptions = {}): Promise<CommitReport> {
  const edits = await editsOf(target, options);
  return edits.commit({ ...options, ...(to === undefined ? {} : { to: resolve(to) }) });
}

/** Drops the edits of a checkpoint that were not committed. */
export async function discard(target: string, options: EditsOptions = {}): Promise<CommitReport> {
  return (await editsOf(target, options)).discard();
}

/** What is edited and not committed. */
export async function status(target: string, options: EditsOptions = {}): Promise<EditsStatus> {
  return (await editsOf(target, options)).status();
}

/** An open checkpoint file. Close it, or declare it with `await using`. */
export class OpenedCheckpoint implements AsyncDisposable {
  /** Every tensor at every name, the model's first. A tensor that has several names is listed under each; no name is there twice. */
  readonly tensors: readonly TensorInfo[];
  readonly #checkpoint: Checkpoint;
  readonly #cache: PageCache;
  readonly #names: TensorNames;
  /** Of the model, from the root: `state_dict`. */
  readonly #modelPath: string;
  readonly #byName = new Map<string, NamedContent>();

  /** Not for users: `openCheckpoint` makes these. */
  constructor(checkpoint: Checkpoint, options: OpenOptions) {
    this.#checkpoint = checkpoint;
    this.#cache = new PageCache(options.cacheBytes ?? DEFAULT_PAGE_CACHE_BYTES);
    const model = modelOf(checkpoint);
    this.#modelPath = pathName(model.path);
    this.#names = nameTensors(checkpoint, model);
    this.tensors = this.#names.all.map(({ name, tensor }, index) => {
      const info = describe(name, tensor);
      this.#byName.set(name, { info, tensor, inModel: index < this.#names.inModel });
      return info;
    });
  }

  get path(): string {
    return this.#checkpoint.path;
  }

  get format(): CheckpointFormat {
    return this.#checkpoint.format;
  }

  /** Of the checkpoint file, in bytes. */
  get fileSize(): number {
    return this.#checkpoint.image.size;
  }

  /** Bytes of the storages in the file, and how many of them no tensor shows. */
  get storageUse(): StorageUse {
    const { storages, tensors } = this.#checkpoint;
    return storageUse(
      storages.values(),
      tensors.map(({ tensor }) => tensor),
    );
  }

  /** Free-form facts of the format. */
  get metadata(): Readonly<Record<string, string>> {
    return this.#checkpoint.metadata;
  }

  /** What was odd about the file and does not prevent reading. */
  get warnings(): readonly MlfsError[] {
    return this.#checkpoint.warnings;
  }

  /** Names of Python globals the pickle mentions and MLFS does not know. None was imported or called. */
  get unknownGlobals(): readonly string[] {
    return this.#checkpoint.unknownGlobals;
  }

  /** How many tensors there are, those with several names once. */
  get tensorCount(): number {
    return this.#names.tensors;
  }

  /** Each tensor once, under the first of its names. */
  *distinctTensors(): Generator<TensorInfo, void> {
    const seen = new ViewMap<true>();
    for (const { info, tensor } of this.#byName.values()) {
      if (seen.has(tensor)) continue;
      seen.set(tensor, true);
      yield info;
    }
  }

  /** Tensors that belong to the model and are not in /model of a mount, and why. */
  get leftOut(): readonly { readonly name: string; readonly reason: string }[] {
    return this.#names.leftOut.map(({ name, reason }) => ({ name, reason }));
  }

  /** Names that end in `~2`, `~3`, …, because another tensor has the name without it. */
  get separatedNames(): readonly string[] {
    return this.#names.separated;
  }

  /** By its name; a tensor of the model by its full path from the root, too: `state_dict.fc.bias`. */
  get(name: string): TensorInfo | undefined {
    return this.#find(name)?.info;
  }

  /** The tensors of a module, or one tensor: `layers.1` and not `layers.10` too, unless nothing is called so. */
  below(name: string): readonly TensorInfo[] {
    const inside = (module: string, count = this.tensors.length) => {
      const start = `${module}.`;
      return this.tensors
        .slice(0, count)
        .filter((tensor) => tensor.name === module || tensor.name.startsWith(start));
    };
    const found = inside(name);
    if (found.length > 0) return found;
    const short = this.#inModel(name);
    if (short === '') return this.tensors.slice(0, this.#names.inModel);
    const full = short === undefined ? [] : inside(short, this.#names.inModel);
    return full.length > 0 ? full : this.tensors.filter((tensor) => tensor.name.startsWith(name));
  }

  /** The bytes of a range, in C order and little-endian. Throws ERR_MLFS_NOT_FOUND, ERR_MLFS_IO, ERR_MLFS_TRUNCATED. */
  async read(name: string, range: ReadRange = {}): Promise<Buffer> {
    const content = this.#contentOf(name);
    const { size } = content;
    const offset = range.offset ?? 0;
    const wanted = range.length ?? size - offset;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset > size || !(wanted >= 0)) {
      throw new MlfsError(
        'ERR_MLFS_USAGE',
        `${name}: offset ${offset}, length ${wanted} is no range of ${size} bytes`,
      );
    }
    const length = Math.min(wanted, size - offset);
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
   * A zero-copy view of the tensor, by the optional package mmap-io; contiguous tensors below 2 GiB only. Do not use it on a file
   * that somebody may truncate meanwhile: touching a page that is gone ends the process (see storage/mapped-view.ts).
   */
  view(name: string): Buffer {
    const content = this.#contentOf(name);
    if (content.size === 0) return Buffer.alloc(0);
    const [extent, ...others] = content.kind === 'extents' ? content.extents : [];
    if (extent?.kind !== 'image' || others.length > 0) {
      throw new MlfsError(
        'ERR_MLFS_USAGE',
        `${name}: does not lie in one piece in the file, so it has no view`,
        {
          advice: 'read it: readTensor(name)',
        },
      );
    }
    return mappedView(extent.image.base, extent.offset, extent.length);
  }

  /** The tensor in pieces of at most 1 MiB, with bounded memory whatever its size. */
  async *stream(name: string, range: ReadRange = {}): AsyncGenerator<Buffer> {
    const { size } = this.#contentOf(name);
    const end = Math.min(size, (range.offset ?? 0) + (range.length ?? size));
    for (let at = range.offset ?? 0; at < end; at += READ_BYTES) {
      yield await this.read(name, { offset: at, length: Math.min(READ_BYTES, end - at) });
    }
  }

  /** Mounts this checkpoint's file, which is opened once more: the mount outlives `close`. */
  mount(mountpoint: string, options: MountOptions = {}): Promise<Mounted> {
    return mount(this.path, mountpoint, options);
  }

  close(): Promise<void> {
    return this.#checkpoint.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #find(name: string): NamedContent | undefined {
    const short = this.#inModel(name);
    const full = short === undefined ? undefined : this.#byName.get(short);
    return this.#byName.get(name) ?? (full?.inModel === true ? full : undefined);
  }

  /** The name within the model of what is called by its full path; undefined for what is not below the model. */
  #inModel(name: string): string | undefined {
    if (this.#modelPath === '') return undefined;
    if (name === this.#modelPath) return '';
    return name.startsWith(`${this.#modelPath}.`) ? name.slice(this.#modelPath.length + 1) : undefined;
  }

  #contentOf(name: string): SizedContent {
    const named = this.#find(name);
    if (named === undefined) {
      throw new MlfsError('ERR_MLFS_NOT_FOUND', `${this.path}: has no tensor ${quoteName(name)}`, {
        path: this.path,
        advice: `mlfs ls ${this.path}`,
      });
    }
    named.content ??= tensorContent(named.tensor, this.#cache);
    return named.content as SizedContent;
  }
}

interface NamedContent {
  readonly info: TensorInfo;
  readonly tensor: Tensor;
  readonly inModel: boolean;
  content?: Content;
}

async function editsOf(target: string, { stateDirectory }: EditsOptions): Promise<EditTarget> {
  const [{ editTarget }, { ownMounts }] = await Promise.all([
    import('./mount/edit-target.ts'),
    import('./mount/own-mounts.ts'),
  ]);
  return editTarget(target, { ownMounts, ...(stateDirectory === undefined ? {} : { stateDirectory }) });
}

/** A slice of one read: what is in flight besides the result. */
const READ_BYTES = 1024 * 1024;

/** tensorContent makes nothing else. */
type SizedContent = Extract<Content, { readonly kind: 'extents' | 'rendered' }>;

function readContent(content: SizedContent, offset: number, length: number): Promise<Uint8Array> {
  return content.kind === 'extents'
    ? readExtents(content.extents, offset, length)
    : content.read(offset, length);
}

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
