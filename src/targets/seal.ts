/**
 * A seal: the SHA-256 of every tensor in the format of sha256sum(1), with paths as in the mount, so that `cd MOUNT && sha256sum -c SEAL`
 * checks it as well. As in sha256sum, a name with a backslash or a line break is escaped, and its line begins with a backslash.
 */
import { createHash } from 'node:crypto';
import { MlfsError } from '../errors.ts';
import { ofTensor } from '../numbers/element-blocks.ts';
import { contentRun } from '../storage/content-run.ts';
import { type DigestOptions, digestRuns, WORTH_THREADS_BYTES } from '../storage/digests.ts';
import { inParallel } from '../storage/in-parallel.ts';
import { blocksOf, type TargetTensor, type TensorTarget } from './tensor-target.ts';

/** One tensor's hash, 64 hexadecimal digits. */
export interface SealedTensor {
  readonly path: string;
  readonly sha256: string;
}

export interface HashProgress {
  readonly done: number;
  readonly total: number;
}

const BLOCK_BYTES = 4 * 1024 * 1024;
/** While one tensor is hashed, the next is read. */
const AT_ONCE = 2;

/**
 * In the order of the target's tensors. Throws what reading throws, with the tensor's name, and the signal's reason. Runs of a file are hashed in threads.
 */
export async function seal(
  { tensors }: Pick<TensorTarget, 'tensors'>,
  onProgress: (progress: HashProgress) => void = () => undefined,
  signal?: AbortSignal,
): Promise<SealedTensor[]> {
  const total = tensors.reduce((sum, { content }) => sum + content.size, 0);
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    onProgress({ done, total });
  };
  const hashes = await hashRuns(tensors, { onBytes, ...(signal === undefined ? {} : { signal }) });
  const rest = [...tensors.entries()].filter(([index]) => hashes[index] === undefined);
  await inParallel(rest, AT_ONCE, async ([index, { path, content }]) => {
    const hash = createHash('sha256');
    try {
      for await (const block of blocksOf(content, BLOCK_BYTES)) {
        signal?.throwIfAborted();
        hash.update(block);
        onBytes(block.byteLength);
      }
    } catch (cause) {
      throw ofTensor(path, cause);
    }
    hashes[index] = hash.digest('hex');
  });
  return tensors.map(({ path }, index) => ({ path, sha256: hashes[index] as string }));
}

/** The hashes of the tensors that are runs of a file, if these are large enough to be worth threads. */
async function hashRuns(
  tensors: readonly TargetTensor[],
  options: DigestOptions,
): Promise<(string | undefined)[]> {
  const hashes = new Array<string | undefined>(tensors.length);
  const runs = tensors.flatMap(({ content }, index) => {
    const run = contentRun(content, 0, content.size);
    return run === undefined ? [] : [{ index, run }];
  });
  const bytes = runs.reduce((sum, { run }) => sum + run.length, 0);
  if (bytes < WORTH_THREADS_BYTES) return hashes;
  const found = await digestRuns(
    'sha256',
    runs.map(({ run }) => run),
    options,
  );
  for (const [at, { index }] of runs.entries()) hashes[index] = found[at];
  return hashes;
}

export function formatSeal(sealed: readonly SealedTensor[]): string {
  return sealed.map(({ path, sha256 }) => `${escapedLine(path, sha256)}\n`).join('');
}

function escapedLine(path: string, sha256: string): string {
  const escaped = path.replace(/[\\\n\r]/g, (character) => ESCAPES[character] ?? character);
  return `${escaped === path ? '' : '\\'}${sha256}  ${escaped}`;
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
const MEANINGS: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', r: '\r' };

/** `name` is the seal's name for messages. Throws ERR_MLFS_FORMAT with the first line that is not in the format of sha256sum. */
export function parseSeal(text: string, name: string): SealedTensor[] {
  const sealed: SealedTensor[] = [];
  const seen = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const wrong = (reason: string) =>
      new MlfsError('ERR_MLFS_FORMAT', `${name}: line ${index + 1}: ${reason}`, {
        path: name,
        advice: 'a seal is what `mlfs seal` or `sha256sum` printed',
      });
    const [, backslash, sha256, written] = /^(\\?)([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (sha256 === undefined || written === undefined) throw wrong('is not a hash and a path');
    const path =
      backslash === ''
        ? written
        : written.replace(/\\(.)/g, (_, character: string) => MEANINGS[character] ?? character);
    if (seen.has(path)) throw wrong(`names ${path} a second time`);
    seen.add(path);
    sealed.push({ path, sha256 });
  }
  return sealed;
}

export interface SealReport {
  readonly changed: readonly string[];
  /** In the seal and missing now. */
  readonly missing: readonly string[];
  /** Present and not in the seal. */
  readonly added: readonly string[];
  readonly intact: number;
}

export function compareSeals(expected: readonly SealedTensor[], found: readonly SealedTensor[]): SealReport {
  const now = new Map(found.map(({ path, sha256 }) => [path, sha256]));
  const sealed = new Set(expected.map(({ path }) => path));
  const missing = expected.filter(({ path }) => !now.has(path)).map(({ path }) => path);
  const changed = expected
    .filter(({ path, sha256 }) => now.has(path) && now.get(path) !== sha256)
    .map(({ path }) => path);
  return {
    changed,
    missing,
    added: found.filter(({ path }) => !sealed.has(path)).map(({ path }) => path),
    intact: expected.length - missing.length - changed.length,
  };
}
