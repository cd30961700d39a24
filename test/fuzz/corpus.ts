/** The files that mutants are made from: the project's fixtures, and the corpus beside the checkout where there is one. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CORPUS } from '../support/requires.ts';

export interface SeedFile {
  /** Unique in the corpus: the last two parts of the path. */
  readonly name: string;
  readonly bytes: Buffer;
}

export interface Corpus {
  readonly files: readonly SeedFile[];
  /** The same digest means the same mutants. */
  readonly digest: string;
}

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
/** Larger files are mostly numbers, and every mutant of them has to be written and read. */
const LARGEST_SEED_BYTES = 1_500_000;
const NOT_CHECKPOINTS = /\.(json|txt|py|md)$/;

/** `others`: with files that are not the project's own. */
export function readCorpus(others: boolean): Corpus {
  const folders = others && existsSync(CORPUS) ? [FIXTURES, CORPUS] : [FIXTURES];
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .sort()
      .filter((path) => !NOT_CHECKPOINTS.test(path))
      .map((path) => join(folder, path))
      .filter((path) => {
        const status = statSync(path);
        return status.isFile() && status.size > 0 && status.size <= LARGEST_SEED_BYTES;
      })
      .map((path) => ({ name: path.split('/').slice(-2).join('/'), bytes: readFileSync(path) })),
  );
  const hash = createHash('sha256');
  for (const { name, bytes } of files) hash.update(basename(name)).update(bytes);
  return { files, digest: hash.digest('hex').slice(0, 12) };
}
