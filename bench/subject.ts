/**
 * What is read: checkpoints that the bench makes for itself, each when it is first asked for, and removes at the end.
 * The large one holds a single tensor of random bytes, so that nothing below can cheat by compressing it.
 */
import { randomFillSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type NamedTensorToWrite, writeTorchZip } from '../src/checkpoint/torch/writer.ts';
import type { Fill } from '../src/checkpoint/zip/fill.ts';
import { ZipWriter } from '../src/checkpoint/zip/writer.ts';
import { onInterrupt } from './interrupt.ts';

export type SubjectKind = 'large' | 'terabyte' | 'many';

export interface Subject {
  readonly path: string;
  readonly size: number;
  /** The tensor that is read: where it is in the file, in the archive and in a mount. */
  readonly tensor: {
    readonly offset: number;
    readonly length: number;
    readonly entry: string;
    readonly mountPath: readonly string[];
  };
  /** A plain zip with the same tree of files as /model, for mounts that know zips and not tensors. */
  readonly sameTreeZip?: string;
}

const ROW = 1024;
const FLOAT_BYTES = 4;
const TEBIBYTE = 2 ** 40;
const SMALL_BYTES = 64;
const LAYERS = 1000;

export class Subjects {
  readonly #directory: string;
  readonly #tensorBytes: number;
  readonly #made = new Map<SubjectKind, Subject>();
  readonly #forget: () => void;

  private constructor(directory: string, tensorBytes: number) {
    this.#directory = directory;
    this.#tensorBytes = tensorBytes;
    this.#forget = onInterrupt(() => rm(directory, { recursive: true, force: true }));
  }

  /** `parent` decides which disk is measured. `tensorBytes` is a multiple of 4 KiB. */
  static async in(parent: string | undefined, tensorBytes: number): Promise<Subjects> {
    return new Subjects(await mkdtemp(path.join(parent ?? tmpdir(), 'mlfs-bench-')), tensorBytes);
  }

  async get(kind: SubjectKind): Promise<Subject> {
    const made = this.#made.get(kind);
    if (made) return made;
    const subject = await this.#make(kind);
    this.#made.set(kind, subject);
    return subject;
  }

  #make(kind: SubjectKind): Promise<Subject> {
    if (kind === 'large') return this.#oneTensor('large', this.#tensorBytes, randomBytes);
    if (kind === 'terabyte') return this.#oneTensor('terabyte', TEBIBYTE, 'sparse-zeros');
    return this.#manyTensors();
  }

  #oneTensor(name: string, length: number, fill: Fill): Promise<Subject> {
    const shape = [length / FLOAT_BYTES / ROW, ROW];
    return this.#write(name, [{ name: 'weight', dtype: 'float32', shape, fill }]);
  }

  async #manyTensors(): Promise<Subject> {
    const bytes = Buffer.alloc(SMALL_BYTES, 7);
    const names = manyNames();
    const shape = [SMALL_BYTES / FLOAT_BYTES];
    const subject = await this.#write(
      'many',
      names.map((name) => ({ name, dtype: 'float32', shape, fill: bytes })),
    );
    const sameTreeZip = path.join(this.#directory, 'many.zip');
    const zip = await ZipWriter.create(sameTreeZip, 64);
    for (const name of names) await zip.add(`${name.replaceAll('.', '/')}.bin`, bytes.length, bytes);
    await zip.finish();
    return { ...subject, sameTreeZip };
  }

  /** The first of the tensors is the one that is read. */
  async #write(name: string, tensors: readonly NamedTensorToWrite[]): Promise<Subject> {
    const file = path.join(this.#directory, `${name}.pt`);
    const { size, storages } = await writeTorchZip(file, { tensors }, { prefix: name });
    const first = storages.get('0');
    if (!first) throw new Error(`${file}: was written without a storage`);
    const mountPath = `model.${tensors[0]?.name}`.split('.');
    return {
      path: file,
      size,
      tensor: {
        offset: first.offset,
        length: first.nbytes,
        entry: `${name}/data/0`,
        mountPath: [...mountPath.slice(0, -1), `${mountPath.at(-1)}.bin`],
      },
    };
  }

  async remove(): Promise<void> {
    this.#forget();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** 20,000 names as a deep transformer has them: two in a module, ten modules in a layer. */
function manyNames(): string[] {
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
  return Array.from({ length: LAYERS }, (_, layer) =>
    modules.flatMap((module) => ['weight', 'bias'].map((name) => `layers.${layer}.${module}.${name}`)),
  ).flat();
}

function randomBytes(_offset: number, length: number): Uint8Array {
  return randomFillSync(Buffer.allocUnsafe(length));
}
