/**
 * The tensors of a checkpoint file or of a mount, each with its path in the mount: the target of `mlfs seal`, `verify --seal`, `diff` and
 * `check`. A mount is read through its own files, edits included; a file is opened here and read as it is.
 */
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../checkpoint/open.ts';
import { type DType, nbytes, type Tensor } from '../checkpoint/tensor.ts';
import { storedAt } from '../checkpoint/tensor-content.ts';
import { MlfsError } from '../errors.ts';
import type { FixedContent } from '../storage/content.ts';
import { codeOf, diskError } from '../storage/disk-file.ts';
import { diskMedium } from '../storage/disk-medium.ts';
import { readContent } from '../storage/read-extents.ts';
import { DEFAULT_RENDERED_PAGES_BYTES, RenderedPages } from '../storage/rendered-pages.ts';
import { StateDirectory } from '../storage/state-directory.ts';
import { Log } from '../telemetry/log.ts';
import { buildTree } from '../tree/build-tree.ts';
import { pathOfTensorName } from '../tree/path-names.ts';
import type { TensorFiles } from '../tree/tensor-files.ts';
import type { OmittedTensors } from '../tree/tensors-json.ts';
import { VERSION } from '../version.ts';
import { quoteName } from '../visible-text.ts';
import { mountAround, notAMount } from './find-mount.ts';
import { refuseStopped } from './server-process.ts';

export interface TargetTensor {
  /** Path in the mount, without a leading slash: `model/fc/weight.bin`. The first one when the tensor has several names. */
  readonly path: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly content: FixedContent;
}

export interface TargetGradient {
  /** `model/fc/weight.grad` */
  readonly path: string;
  readonly size: number;
}

export interface TensorTarget {
  /** The target as the user gave it. */
  readonly name: string;
  readonly tensors: readonly TargetTensor[];
  /** Gradients of all parameters, empty ones included. */
  gradients(): Promise<readonly TargetGradient[]>;
  close(): Promise<void>;
}

/** Throws ERR_MLFS_NOT_FOUND, and what opening a checkpoint throws. */
export async function tensorTarget(name: string): Promise<TensorTarget> {
  const mountpoint = await mountAround(name);
  if (mountpoint !== undefined) return mountedTarget(name, mountpoint);
  const found = await stat(name).catch(() => undefined);
  if (found?.isDirectory()) throw notAMount(name, 'a mount point or a checkpoint file');
  return fileTarget(name);
}

const GRADIENT_SUFFIX = '.grad';

/** One line of /sys/tensors.json, with the fields that are needed here. */
interface ListedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly nbytes: number;
  readonly file: string | null;
}

async function mountedTarget(name: string, mountpoint: string): Promise<TensorTarget> {
  await refuseStopped(mountpoint);
  const listed = JSON.parse(await readFile(join(mountpoint, 'sys/tensors.json'), 'utf8')) as (
    | ListedTensor
    | OmittedTensors
  )[];
  const tensors = new Map<string, TargetTensor>();
  for (const line of listed) {
    if ('omitted' in line) {
      throw new MlfsError(
        'ERR_MLFS_LIMIT',
        `${name}: ${line.omitted} tensors are missing in sys/tensors.json`,
        {
          path: name,
          advice: 'name the checkpoint file instead of the mount',
        },
      );
    }
    const { dtype, shape, nbytes: size, file } = line;
    if (file === null || tensors.has(file)) continue;
    const content = fileContent(name, pathInMount(name, mountpoint, file), size);
    tensors.set(file, { path: file.slice(1), dtype, shape, content });
  }
  return {
    name,
    tensors: [...tensors.values()],
    gradients: async () => {
      const model = join(mountpoint, 'model');
      const names = await readdir(model, { recursive: true }).catch((cause) => {
        throw readError(name, model, cause);
      });
      return Promise.all(
        names
          .filter((file) => file.endsWith(GRADIENT_SUFFIX))
          .map(async (file) => {
            const path = pathInMount(name, mountpoint, `model/${file}`);
            const { size } = await stat(path).catch((cause) => {
              throw readError(name, path, cause);
            });
            return { path: `model/${file}`, size };
          }),
      );
    },
    close: () => Promise.resolve(),
  };
}

/** PATH_MAX of Linux without its NUL: no system call takes a longer path. */
const PATH_BYTES = 4095;

/** Throws ERR_MLFS_LIMIT for a path that is too long for any program. */
function pathInMount(name: string, mountpoint: string, file: string): string {
  const path = join(mountpoint, file);
  if (Buffer.byteLength(path) > PATH_BYTES) throw tooLong(name, path);
  return path;
}

function tooLong(name: string, path: string, cause?: unknown): MlfsError {
  return new MlfsError(
    'ERR_MLFS_LIMIT',
    `${name}: ${quoteName(path)} in it has a path of more than ${PATH_BYTES} bytes, which cannot be opened`,
    { path: name, advice: 'name the checkpoint file instead of the mount', errno: 'ENAMETOOLONG', cause },
  );
}

/** The error of a node:fs call on a file of the mount. */
function readError(name: string, path: string, cause: unknown): MlfsError {
  return codeOf(cause) === 'ENAMETOOLONG' ? tooLong(name, path, cause) : diskError(path, 'read', cause);
}

/** A file that is opened for each read: a mount can have more files than a process has descriptors. */
function fileContent(name: string, path: string, size: number): FixedContent {
  return {
    kind: 'rendered',
    size,
    read: async (offset, length) => {
      const file = await open(path).catch((cause) => {
        throw readError(name, path, cause);
      });
      try {
        const bytes = Buffer.allocUnsafe(Math.min(length, size - offset));
        for (let got = 0; got < bytes.length; ) {
          const { bytesRead } = await file.read(bytes, got, bytes.length - got, offset + got);
          if (bytesRead === 0)
            throw new MlfsError('ERR_MLFS_IO', `${path}: ends at byte ${offset + got}`, { path });
          got += bytesRead;
        }
        return bytes;
      } catch (cause) {
        throw readError(name, path, cause);
      } finally {
        await file.close();
      }
    },
  };
}

/** A tensor of a checkpoint file. A content that is one run of the file is made whenever it is asked for; others keep state, and are kept. */
class FileTensor implements TargetTensor {
  readonly path: string;
  readonly #files: TensorFiles;
  readonly #tensor: Tensor;
  #content: FixedContent | undefined;

  constructor(path: string, files: TensorFiles, tensor: Tensor) {
    this.path = path;
    this.#files = files;
    this.#tensor = tensor;
  }

  get dtype(): DType {
    return this.#tensor.dtype;
  }

  get shape(): readonly number[] {
    return this.#tensor.shape;
  }

  get content(): FixedContent {
    if (this.#content !== undefined) return this.#content;
    const content = this.#files.contentOf(this.#tensor) as FixedContent;
    if (storedAt(this.#tensor) === undefined) this.#content = content;
    return content;
  }
}

async function fileTarget(path: string): Promise<TensorTarget> {
  const checkpoint = await openCheckpoint(path);
  const { tree, files } = buildTree(checkpoint, {
    cache: new RenderedPages(DEFAULT_RENDERED_PAGES_BYTES),
    version: VERSION,
    log: new Log(),
    status: async () => ({}),
    metrics: () => '',
  });
  const tensors: TargetTensor[] = [];
  const gradients: { path: string; saved: number }[] = [];
  /** By the place of a tensor's file in the order in which the files were made: whether it was visited. */
  const seen = new Uint8Array(files.placed);
  // The walk makes no inodes: the objects of 100,000 tensors and gradients would take more memory than the opened checkpoint.
  const walk = (folder: number, prefix: string) => {
    for (const [name, nodeid] of tree.childrenOf(folder)) {
      if (tree.isFolder(nodeid)) {
        walk(nodeid, `${prefix}${name}/`);
        continue;
      }
      const order = files.orderOf(nodeid);
      if (name.endsWith(GRADIENT_SUFFIX)) {
        const saved = order === undefined ? 0 : nbytes(files.tensorOfOrder(order));
        gradients.push({ path: prefix + name, saved });
      } else if (order !== undefined && seen[order] === 0) {
        seen[order] = 1;
        tensors.push(new FileTensor(prefix + name, files, files.tensorOfOrder(order)));
      }
    }
  };
  for (const room of ['model', 'checkpoint']) {
    const folder = tree.root.children.get(room);
    if (folder?.kind === 'directory') walk(folder.nodeid, `${room}/`);
  }
  return {
    name: path,
    tensors,
    gradients: async () => {
      const kept = new Map(
        Array.from(await keptGradients(path), ([name, size]) => [
          `model/${pathOfTensorName(name).join('/')}.grad`,
          size,
        ]),
      );
      return gradients.map(({ path: file, saved }) => ({ path: file, size: saved || (kept.get(file) ?? 0) }));
    },
    close: () => checkpoint.close(),
  };
}

async function keptGradients(path: string): Promise<ReadonlyMap<string, number>> {
  const state = await StateDirectory.locate(diskMedium, path);
  try {
    return await state.gradients();
  } finally {
    await state.close();
  }
}

/** The blocks of a content in order; the next block is read while the caller works on this one. */
export async function* blocksOf(content: FixedContent, blockBytes: number): AsyncGenerator<Uint8Array> {
  let next = content.size > 0 ? readContent(content, 0, blockBytes) : undefined;
  for (let offset = 0; next !== undefined; ) {
    const block = await next;
    offset += block.byteLength;
    next = offset < content.size ? readContent(content, offset, blockBytes) : undefined;
    // A caller that stops early must not leave an unhandled rejection.
    next?.catch(() => undefined);
    yield block;
  }
}
