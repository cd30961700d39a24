/**
 * Other people's checkpoints: each opens as a static walk of it says it must, or is refused with its reason. The files are not
 * part of the project; without them this is skipped.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../src/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import type { NamedTensor, Storage } from '../../src/checkpoint/tensor.ts';
import { tensorContent } from '../../src/checkpoint/tensor-content.ts';
import { readEntry } from '../../src/checkpoint/zip/read-entry.ts';
import { MlfsError } from '../../src/errors.ts';
import { RenderedPages } from '../../src/storage/rendered-pages.ts';
import { contentSha256 } from '../support/content-sha256.ts';
import { CORPUS, requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import {
  type CorpusTensor,
  type LegacyExpectation,
  readCorpus,
  STORAGE_DTYPES,
  type ZipExpectation,
} from './expectations.ts';
import { readSafetensorsPlainly } from './plain-safetensors.ts';
import { sha256 } from './sha256.ts';

/** Files that are no checkpoints of ours or that the format's own library refuses, with what the refusal must say. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  F76: /without the member "tensors"; torch cannot load it either/,
  O06: /do not cover the file/,
  O12: /GGUF/,
  O14: /ONNX/,
};

const counts = { opened: 0, refused: 0, tensors: 0 };

async function opened(t: TestContext, path: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

async function checkZip(t: TestContext, checkpoint: Checkpoint, expected: ZipExpectation): Promise<void> {
  const entries = checkpoint.entries.map((entry) => ({
    name: entry.name,
    method: entry.method === 'stored' ? 0 : 8,
    size: entry.size,
    csize: entry.compressedSize,
    data_offset: entry.offset,
    crc32: entry.crc32.toString(16).padStart(8, '0'),
  }));
  const wanted = expected.entries.map(({ name, method, size, csize, data_offset, crc32 }) => ({
    name,
    method,
    size,
    csize,
    data_offset,
    crc32,
  }));
  for (const { name } of wanted)
    assert.ok(
      entries.some((entry) => entry.name === name),
      `has an entry ${name}`,
    );
  const names = new Set(wanted.map(({ name }) => name));
  assert.deepEqual(
    entries.filter(({ name }) => names.has(name)),
    wanted,
  );
  for (const entry of checkpoint.entries) {
    const known = expected.entries.find(({ name }) => name === entry.name);
    if (known === undefined) continue;
    assert.equal(sha256(await readEntry(checkpoint.image, entry, entry.size)), known.sha256, entry.name);
  }
  const pickles = Object.entries(expected.pickles);
  if (pickles.length === 0) return checkInnerFiles(t, checkpoint);
  await checkTensors(
    checkpoint,
    pickles.flatMap(([entry, { tensors }]) => {
      const stem = entry.slice(entry.lastIndexOf('/') + 1).replace(/\.pkl$/, '');
      const prefix = stem === 'data' || pickles.length === 1 ? [] : [stem];
      return tensors.map((tensor) => ({ ...tensor, path_parts: [...prefix, ...tensor.path_parts] }));
    }),
  );
}

/** A zip of torch files holds what its files hold by themselves. */
async function checkInnerFiles(t: TestContext, checkpoint: Checkpoint): Promise<void> {
  const folder = await temporaryDirectory(t);
  const cache = new RenderedPages(4 * 2 ** 20);
  const facts = async ({ path, tensor }: NamedTensor, prefix: readonly string[]) => ({
    path: [...prefix, ...path],
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    offset: tensor.storageOffset,
    sha256: await contentSha256(tensorContent(tensor, cache)),
  });
  const wanted: Awaited<ReturnType<typeof facts>>[] = [];
  for (const entry of checkpoint.entries.filter(({ name }) => /^[^/]+\.pth?$/.test(name))) {
    const path = join(folder, entry.name);
    await writeFile(path, await readEntry(checkpoint.image, entry, entry.size));
    const inner = await opened(t, path);
    wanted.push(...(await Promise.all(inner.tensors.map((named) => facts(named, [entry.name])))));
  }
  assert.notEqual(wanted.length, 0);
  assert.deepEqual(
    (await Promise.all(checkpoint.tensors.map((named) => facts(named, [])))).sort(byPath),
    wanted.sort(byPath),
  );
  counts.tensors += wanted.length;
}

function byPath(
  one: { readonly path: readonly string[] },
  other: { readonly path: readonly string[] },
): number {
  return JSON.stringify(one.path) < JSON.stringify(other.path) ? -1 : 1;
}

async function checkLegacy(checkpoint: Checkpoint, expected: LegacyExpectation): Promise<void> {
  for (const { key, dtype, loc, data_offset, nbytes } of expected.storages) {
    const storage = checkpoint.storages.get(key);
    assert.ok(storage, `has a storage ${key}`);
    assert.equal(storage.dtype, STORAGE_DTYPES[dtype]);
    assert.equal(storage.location, loc);
    assert.deepEqual(runOf(storage), { offset: data_offset, length: nbytes });
  }
  for (const { key, offset, numel, parent } of expected.views) {
    const [storage, base] = [checkpoint.storages.get(key), checkpoint.storages.get(parent)];
    assert.ok(storage && base, `has a storage ${key} that is a view of ${parent}`);
    const itemsize = storage.nbytes / numel;
    assert.equal(runOf(storage).offset, runOf(base).offset + offset * itemsize);
  }
  await checkTensors(checkpoint, expected.tensors);
}

function runOf({ key, bytes }: Storage): { offset: number; length: number } {
  assert.equal(bytes.kind, 'extent', `storage ${key} is a run of the file`);
  return bytes.kind === 'extent'
    ? { offset: bytes.offset, length: bytes.length }
    : { offset: -1, length: -1 };
}

async function checkTensors(checkpoint: Checkpoint, expected: readonly CorpusTensor[]): Promise<void> {
  const cache = new RenderedPages(4 * 2 ** 20);
  const facts = async ({ path, tensor }: NamedTensor) => ({
    path,
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    // An archive may have storages in several folders; the pickle names them without.
    key: tensor.storage.key.replace(/^.*\//, '').replace(/\.storage$/, ''),
    loc: tensor.storage.location,
    offset: tensor.storageOffset,
    sha256: await contentSha256(tensorContent(tensor, cache)),
  });
  const actual = await Promise.all(checkpoint.tensors.map(facts));
  const wanted = expected.map(({ path_parts, dtype, shape, stride, key, loc, offset, sha256: hash }) => ({
    path: path_parts,
    dtype: STORAGE_DTYPES[dtype] ?? dtype,
    shape,
    stride,
    key: key.replace(/^.*\//, '').replace(/\.storage$/, ''),
    loc,
    offset,
    sha256: hash,
  }));
  assert.deepEqual(actual.sort(byPath), wanted.sort(byPath));
  counts.tensors += wanted.length;
}

async function checkSafetensors(checkpoint: Checkpoint, path: string): Promise<void> {
  const wanted = readSafetensorsPlainly(await readFile(path));
  const cache = new RenderedPages(2 ** 20);
  assert.deepEqual(
    checkpoint.tensors.map(({ path: [name] }) => name).sort(),
    wanted.map(({ name }) => name).sort(),
  );
  for (const { name, shape, dtype, sha256: hash } of wanted) {
    const found = checkpoint.tensors.find(({ path: [own] }) => own === name);
    assert.ok(found);
    assert.deepEqual({ shape: found.tensor.shape, dtype: found.tensor.dtype }, { shape, dtype });
    assert.equal(await contentSha256(tensorContent(found.tensor, cache)), hash, name);
    counts.tensors++;
  }
}

describe('the corpus', requires('corpus'), () => {
  const files = readCorpus(CORPUS);
  for (const { id, path, expected } of files) {
    const reason = REFUSED[id];
    if (reason !== undefined || (expected === undefined && extname(path) !== '.safetensors')) {
      test(`${id} is refused with its reason`, async () => {
        await assert.rejects(openCheckpoint(path), (error) => {
          assert.ok(error instanceof MlfsError);
          assert.equal(error.exitCode, 3);
          assert.match(error.message, reason ?? /./);
          assert.ok(error.message.includes(path), 'names the file');
          return true;
        });
        counts.refused++;
      });
      continue;
    }
    test(`${id} opens as expected`, async (t) => {
      const checkpoint = await opened(t, path);
      if (expected === undefined) await checkSafetensors(checkpoint, path);
      else if (expected.container === 'zip') await checkZip(t, checkpoint, expected);
      else await checkLegacy(checkpoint, expected);
      counts.opened++;
    });
  }

  test('every file was opened as expected or refused with its reason', (t) => {
    const { opened: open, refused, tensors } = counts;
    t.diagnostic(
      `corpus: ${open} files with ${tensors} tensors opened as expected, ${refused} refused with their reason`,
    );
    assert.equal(open + refused, files.length);
  });
});
