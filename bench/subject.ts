/**
 * The checkpoints that are read. The bench makes each at its first use, and removes it at the end. The large one has a single tensor of
 * random bytes, so that nothing below can cheat by compressing it.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { copyFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PyDict } from '../src/checkpoint/pickle/values.ts';
import { DTYPES } from '../src/checkpoint/tensor.ts';
import { type TensorToWrite, tensorToWrite, writeTorchZip } from '../src/checkpoint/torch/writer.ts';
import type { Fill } from '../src/checkpoint/zip/fill.ts';
import { ZipWriter } from '../src/checkpoint/zip/writer.ts';
import { undoable } from './interrupt.ts';
import { weights } from './models/weights.ts';
import { writeExpertsPt, writeExpertsSafetensors } from './models/write-experts.ts';
import { type TrainingStep, takeStep } from './training-step.ts';

/**
 * `large`: one tensor of `--size`. `terabyte`: sparse. `many`: 20,000 tensors. `shared`: a quarter of `--size`, under two names, and a
 * view of its upper half. `eight`: a quarter of it in eight tensors. `layers`: an eighth of it in sixteen tensors. `weights`: two tensors
 * of a quarter of it each, float32 and float16, with weights as those of a layer, and checkpoints beside it to compare it with. `sparse`: as large as `large`, of zeros, and its tenfold. `experts` and
 * `experts-safetensors`: 91,991 tiny tensors with the names of DeepSeek-V3.
 */
export type SubjectKind =
  | 'large'
  | 'terabyte'
  | 'many'
  | 'shared'
  | 'eight'
  | 'layers'
  | 'weights'
  | 'sparse'
  | 'experts'
  | 'experts-safetensors';

/** Where a tensor is: in the checkpoint, and in a mount. */
export interface TensorPlace {
  readonly offset: number;
  readonly length: number;
  readonly mountPath: readonly string[];
}

export interface Subject {
  readonly path: string;
  readonly size: number;
  /** The tensor that is read: its place in the file, in the archive and in a mount. */
  readonly tensor: TensorPlace & {
    readonly entry: string;
    /** A second name of it. */
    readonly tiedPath?: readonly string[];
    /** A tensor with an inode of its own that is the upper half of it. */
    readonly upperHalfPath?: readonly string[];
  };
  /** All tensors, of equal length, where several are written at the same time. */
  readonly tensors?: readonly TensorPlace[];
  /** A plain zip with the same tree of files as /model, for mounts that know zips but not tensors. */
  readonly sameTreeZip?: string;
  /** The same with ten times as many bytes. */
  readonly tenfold?: Subject;
  /** The same bytes in another file. */
  readonly copy?: string;
  /** The same tensors, of which every element has another value. */
  readonly changed?: string;
  /** The same after a training step. */
  readonly step?: TrainingStep;
}

type Written = Subject & { readonly offsets: readonly number[] };

const ROW = 1024;
/** Retries: after an interrupt, a file that is being written may appear once more. */
const REMOVE = { recursive: true, force: true, maxRetries: 5 };
const FLOAT_BYTES = 4;
const TEBIBYTE = 2 ** 40;
const SMALL_BYTES = 64;
const MANY_TENSORS = 20_000;
const TENSORS_IN_A_LAYER = 20;
const STEP_LAYERS = 16;
const WRITERS = 8;
const PRECISIONS = ['float32', 'float16'] as const;
/** What a fill is asked for at a time: a tensor is this block again and again. */
const WEIGHTS_BLOCK_BYTES = 2 ** 20;

export class Subjects {
  readonly #directory: string;
  readonly #tensorBytes: number;
  readonly #mostTensors: number;
  readonly #made = new Map<SubjectKind, Subject>();
  /** Removes everything that was made. */
  readonly remove: () => Promise<void>;

  private constructor(directory: string, tensorBytes: number, mostTensors: number) {
    this.#directory = directory;
    this.#tensorBytes = tensorBytes;
    this.#mostTensors = mostTensors;
    this.remove = undoable(() => rm(directory, REMOVE));
  }

  /**
   * `parent` decides which disk is measured. `tensorBytes` is a multiple of 1 MiB. The models of very many tensors have at most
   * `mostTensors`.
   */
  static async in(
    parent: string | undefined,
    tensorBytes: number,
    mostTensors = Number.POSITIVE_INFINITY,
  ): Promise<Subjects> {
    const directory = mkdtempSync(path.join(parent ?? tmpdir(), 'mlfs-bench-'));
    return new Subjects(directory, tensorBytes, mostTensors);
  }

  async get(kind: SubjectKind): Promise<Subject> {
    const made = this.#made.get(kind);
    if (made) return made;
    const subject = await this.#make(kind);
    this.#made.set(kind, subject);
    return subject;
  }

  #make(kind: SubjectKind): Promise<Subject> {
    switch (kind) {
      case 'large':
        return this.#oneTensor('large', this.#tensorBytes, randomBytes);
      case 'terabyte':
        return this.#oneTensor('terabyte', TEBIBYTE, 'sparse-zeros');
      case 'many':
        return this.#manyTensors();
      case 'shared':
        return this.#sharedTensor();
      case 'eight':
        return this.#eightTensors();
      case 'layers':
        return this.#layers();
      case 'weights':
        return this.#weights();
      case 'sparse':
        return this.#sparse();
      case 'experts':
      case 'experts-safetensors':
        return this.#experts(kind);
    }
  }

  #oneTensor(name: string, length: number, fill: Fill): Promise<Subject> {
    return this.#write(name, new Map([['weight', tensorOf(length, fill)]]));
  }

  async #manyTensors(): Promise<Subject> {
    const bytes = Buffer.alloc(SMALL_BYTES, 7);
    const shape = [SMALL_BYTES / FLOAT_BYTES];
    const names = manyNames(Math.min(this.#mostTensors, MANY_TENSORS));
    const subject = await this.#write(
      'many',
      new Map(names.map((name) => [name, tensorToWrite('float32', shape, bytes)])),
    );
    const sameTreeZip = path.join(this.#directory, 'many.zip');
    const zip = await ZipWriter.create(sameTreeZip, 64);
    for (const name of names) await zip.add(`${name.replaceAll('.', '/')}.bin`, bytes.length, bytes);
    await zip.finish();
    return { ...subject, sameTreeZip };
  }

  async #sharedTensor(): Promise<Subject> {
    const weight = tensorOf(this.#tensorBytes / 4, randomBytes);
    const elements = weight.storage.nbytes / FLOAT_BYTES;
    const upperHalf = { ...weight, shape: [elements / 2], storageOffset: elements / 2 };
    const subject = await this.#write(
      'shared',
      new Map([
        ['weight', weight],
        ['tied', weight],
        ['upper', upperHalf],
      ]),
    );
    const [tiedPath, upperHalfPath] = [mountPath('tied'), mountPath('upper')];
    return { ...subject, tensor: { ...subject.tensor, tiedPath, upperHalfPath } };
  }

  async #eightTensors(): Promise<Subject> {
    const { tensors, ...subject } = await this.#equalTensors(
      'eight',
      WRITERS,
      this.#tensorBytes / 4 / WRITERS,
    );
    return { ...subject, tensors };
  }

  async #layers(): Promise<Subject> {
    const length = this.#tensorBytes / 8 / STEP_LAYERS;
    const { tensors, ...subject } = await this.#equalTensors('layers', STEP_LAYERS, length);
    const plain = tensors.map(({ mountPath: [, ...file], offset }) => ({
      file: path.join(...file),
      offset,
      length,
    }));
    const step = await takeStep(subject.path, plain, path.join(this.#directory, 'step'));
    return { ...subject, step };
  }

  async #equalTensors(
    name: string,
    count: number,
    length: number,
  ): Promise<Subject & { readonly tensors: readonly TensorPlace[] }> {
    const names = Array.from({ length: count }, (_, layer) => `layers.${layer}.weight`);
    const { offsets, ...subject } = await this.#write(
      name,
      new Map(names.map((tensor) => [tensor, tensorOf(length, randomBytes)])),
    );
    const tensors = names.map((tensor, index) => ({
      mountPath: mountPath(tensor),
      offset: offsets[index] ?? 0,
      length,
    }));
    return { ...subject, tensors };
  }

  async #weights(): Promise<Subject> {
    const { offsets: _, ...changed } = await this.#twoPrecisions('changed');
    const { offsets, ...subject } = await this.#twoPrecisions('weights');
    const length = this.#tensorBytes / 4;
    const tensors = PRECISIONS.map((dtype, index) => ({
      mountPath: mountPath(dtype),
      offset: offsets[index] ?? 0,
      length,
    }));
    const copy = `${subject.path}.copy`;
    await copyFile(subject.path, copy);
    return { ...subject, tensors, copy, changed: changed.path };
  }

  async #twoPrecisions(name: string): Promise<Written> {
    const tensors = new Map<string, TensorToWrite>();
    for (const dtype of PRECISIONS) {
      const bytes = DTYPES[dtype];
      const block = await weights(dtype, WEIGHTS_BLOCK_BYTES / bytes);
      const shape = [this.#tensorBytes / 4 / bytes];
      const fill = (_offset: number, length: number) => block.subarray(0, length);
      tensors.set(dtype, tensorToWrite(dtype, shape, fill));
    }
    return this.#write(name, tensors);
  }

  async #sparse(): Promise<Subject> {
    const tenfold = await this.#oneTensor('tenfold', this.#tensorBytes * 10, 'sparse-zeros');
    return { ...(await this.#oneTensor('sparse', this.#tensorBytes, 'sparse-zeros')), tenfold };
  }

  async #experts(kind: 'experts' | 'experts-safetensors'): Promise<Subject> {
    const isPt = kind === 'experts';
    const file = path.join(this.#directory, isPt ? 'experts.pt' : 'experts.safetensors');
    const { size, first } = await (isPt ? writeExpertsPt : writeExpertsSafetensors)(file, {
      small: true,
      tensors: this.#mostTensors,
    });
    const { offset, length, name } = first;
    return {
      path: file,
      size,
      tensor: { offset, length, entry: 'model/data/0', mountPath: mountPath(name) },
    };
  }

  /** The first of the tensors is read. `offsets` are those of the storages in the file, in their order. */
  async #write(name: string, tensors: ReadonlyMap<string, TensorToWrite>): Promise<Written> {
    const file = path.join(this.#directory, `${name}.pt`);
    const root = new PyDict();
    root.className = 'collections.OrderedDict';
    for (const [key, tensor] of tensors) root.set(key, tensor);
    const { size, storages } = await writeTorchZip(file, { root }, { prefix: name });
    const [first] = storages.values();
    const [firstName] = tensors.keys();
    if (!first || !firstName) throw new Error(`${file}: was written without a storage`);
    return {
      path: file,
      size,
      offsets: [...storages.values()].map(({ offset }) => offset),
      tensor: {
        offset: first.offset,
        length: first.nbytes,
        entry: `${name}/data/0`,
        mountPath: mountPath(firstName),
      },
    };
  }
}

function tensorOf(length: number, fill: Fill): TensorToWrite {
  return tensorToWrite('float32', [length / FLOAT_BYTES / ROW, ROW], fill);
}

function mountPath(tensor: string): string[] {
  const folders = `model.${tensor}`.split('.');
  return [...folders.slice(0, -1), `${folders.at(-1)}.bin`];
}

/** Names like those of a deep transformer: two in a module, ten modules in a layer. */
function manyNames(count: number): string[] {
  const modules = [
    'attn.q',
    'attn.k',
    'attn.v',
    'attn.out',
    'mlp.up',
    'mlp.gate',
    'mlp.down',
    'norm1',
    'norm2',
    'norm3',
  ];
  return Array.from({ length: Math.ceil(count / TENSORS_IN_A_LAYER) }, (_, layer) =>
    modules.flatMap((module) => ['weight', 'bias'].map((name) => `layers.${layer}.${module}.${name}`)),
  ).flat();
}

function randomBytes(_offset: number, length: number): Uint8Array {
  return randomFillSync(Buffer.allocUnsafe(length));
}
