import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One file of the corpus, with what a static walk of it found. */
export interface CorpusFile {
  readonly id: string;
  readonly path: string;
  /** undefined for files that say themselves what is in them, or are no checkpoints. */
  readonly expected: ZipExpectation | LegacyExpectation | undefined;
}

export interface ZipExpectation {
  readonly container: 'zip';
  readonly entries: readonly {
    readonly name: string;
    /** 0 stored, 8 deflated. */
    readonly method: number;
    readonly size: number;
    readonly csize: number;
    readonly data_offset: number;
    readonly crc32: string;
    readonly sha256: string;
  }[];
  /** By the pickle's entry name. */
  readonly pickles: Readonly<Record<string, { readonly tensors: readonly CorpusTensor[] }>>;
}

export interface LegacyExpectation {
  readonly container: 'legacy';
  readonly storages: readonly {
    readonly key: string;
    readonly dtype: string;
    readonly loc: string;
    readonly data_offset: number;
    readonly nbytes: number;
  }[];
  /** Storages that are runs of another; offset and numel in elements. */
  readonly views: readonly {
    readonly key: string;
    readonly offset: number;
    readonly numel: number;
    readonly parent: string;
  }[];
  readonly tensors: readonly CorpusTensor[];
}

export interface CorpusTensor {
  readonly path_parts: readonly string[];
  /** The storage class without `Storage`: `Float`, `QInt8`. */
  readonly dtype: string;
  readonly key: string;
  readonly loc: string;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly nbytes: number;
  readonly sha256: string;
}

export function readCorpus(folder: string): CorpusFile[] {
  if (!existsSync(folder)) return [];
  const ids = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return ids.map(({ name: id }) => {
    const names = readdirSync(join(folder, id));
    const file = names.find((name) => name !== 'expected.json');
    if (file === undefined) throw new Error(`${id} holds no file`);
    const expected = names.includes('expected.json')
      ? JSON.parse(readFileSync(join(folder, id, 'expected.json'), 'utf8'))
      : undefined;
    return { id, path: join(folder, id, file), expected };
  });
}

/** torch's dtypes by the names of the typed storages. */
export const STORAGE_DTYPES: Readonly<Record<string, string>> = {
  Float: 'float32',
  Double: 'float64',
  Half: 'float16',
  BFloat16: 'bfloat16',
  Byte: 'uint8',
  Char: 'int8',
  Short: 'int16',
  Int: 'int32',
  Long: 'int64',
  Bool: 'bool',
  ComplexFloat: 'complex64',
  ComplexDouble: 'complex128',
  QInt8: 'qint8',
  QUInt8: 'quint8',
  QInt32: 'qint32',
};
