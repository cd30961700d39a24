import assert from 'node:assert/strict';
import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { PyDict } from '../../../src/checkpoint/pickle/values.ts';
import { openSafetensors } from '../../../src/checkpoint/safetensors.ts';
import type { Storage, Tensor } from '../../../src/checkpoint/tensor.ts';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { verifyCheckpoint } from '../../../src/checkpoint/verify.ts';
import { readArchive } from '../../../src/checkpoint/zip/archive.ts';
import type { ZipEntry } from '../../../src/checkpoint/zip/entry.ts';
import type { MlfsError } from '../../../src/errors.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import {
  buildZip,
  DEFLATED,
  DESCRIPTOR_FLAG,
  descriptor,
  type EntryPlan,
} from '../../hostile/zip-builder.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** What opening makes of an archive, as far as verify looks: each data/N is a storage with two tied tensors. */
async function archiveCheckpoint(t: TestContext, path: string): Promise<Checkpoint> {
  const image = new Image(await FileSource.open(path));
  t.after(() => image.close());
  const { entries, warnings } = await readArchive(image);
  return checkpointOf(path, image, entries, warnings);
}

const windowOf = ({ offset, size }: ZipEntry) => ({ offset, length: size });

function checkpointOf(
  path: string,
  image: Image,
  entries: readonly ZipEntry[],
  warnings: readonly MlfsError[],
): Checkpoint {
  const storages = new Map<string, Storage>();
  const tensors: { path: string[]; tensor: Tensor }[] = [];
  for (const { name, offset, size } of entries) {
    const key = /data\/(\d+)$/.exec(name)?.[1];
    if (key === undefined) continue;
    const storage: Storage = {
      type: 'storage',
      key,
      dtype: 'uint8',
      nbytes: size,
      location: 'cpu',
      bytes: { kind: 'extent', image, offset, length: size },
      byteorder: 'little',
    };
    storages.set(key, storage);
    const tensor: Tensor = {
      type: 'tensor',
      dtype: 'uint8',
      shape: [size],
      stride: [1],
      storageOffset: 0,
      storage,
      requiresGrad: false,
      isParameter: false,
    };
    tensors.push({ path: ['layer', key], tensor }, { path: ['tied', key], tensor });
  }
  return {
    format: 'torch-zip',
    path,
    image,
    root: new PyDict(),
    tensors,
    storages,
    entries,
    unknownGlobals: [],
    warnings,
    metadata: {},
    close: () => image.close(),
  };
}

async function torchFile(t: TestContext, bytes = 3_000_000): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  const fill = new Uint8Array(bytes).map((_, index) => index * 31);
  await writeTorchZip(path, {
    tensors: [
      { name: 'a', dtype: 'uint8', shape: [bytes], fill },
      { name: 'b', dtype: 'uint8', shape: [100], fill: new Uint8Array(100) },
      { name: 'empty', dtype: 'uint8', shape: [0], fill: new Uint8Array(0) },
    ],
  });
  return path;
}

async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.close();
}

async function zipCheckpoint(t: TestContext, plans: EntryPlan[]): Promise<Checkpoint> {
  const path = join(await temporaryDirectory(t), 'archive.zip');
  await writeFile(path, buildZip(plans));
  return archiveCheckpoint(t, path);
}

test('a good checkpoint is good, and progress runs over every byte of it', async (t) => {
  const checkpoint = await archiveCheckpoint(t, await torchFile(t));
  const seen: number[] = [];
  const report = await verifyCheckpoint(checkpoint, {
    onProgress: ({ done, total }) => {
      assert.ok(done <= total);
      seen.push(done);
    },
  });
  assert.ok(report.ok);
  assert.equal(report.checked, 'crc32');
  assert.deepEqual(
    report.entries.map(({ problem }) => problem),
    report.entries.map(() => undefined),
  );
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.equal(seen.at(-1), report.bytes);
  assert.equal(
    report.bytes,
    checkpoint.entries.reduce((sum, { size }) => sum + size, 0),
  );
});

test('a large file, which threads read, is good, then bad, then cut off', async (t) => {
  const path = await torchFile(t, 34 * 2 ** 20);
  const checkpoint = await archiveCheckpoint(t, path);
  let done = 0;
  const good = await verifyCheckpoint(checkpoint, { onProgress: (progress) => (done = progress.done) });
  assert.deepEqual([good.ok, done], [true, good.bytes]);
  assert.ok(good.entries.every(({ actual, expected }) => actual === expected));
  const offset = checkpoint.entries.find(({ name }) => name.endsWith('data/0'))?.offset ?? 0;
  await overwrite(path, offset + 30_000_000, Buffer.from('changed'));
  const problems = async () => {
    const { entries } = await verifyCheckpoint(checkpoint);
    return entries
      .filter(({ problem }) => problem !== undefined)
      .map(({ entry, problem }) => [entry, problem]);
  };
  const [[entry, problem] = []] = await problems();
  assert.equal(entry, 'model/data/0');
  assert.match(problem ?? '', /CRC-32 is 0x[0-9a-f]{8}, the archive says/);
  await truncate(path, 20_000_000);
  const cut = new Map((await problems()) as [string, string][]);
  assert.match(cut.get('model/data/0') ?? '', /the file ended at byte 20000000/);
  assert.equal(cut.has('model/data.pkl'), false);
});

test('one flipped bit is found, with the storage and the tensors it belongs to', async (t) => {
  const path = await torchFile(t);
  const checkpoint = await archiveCheckpoint(t, path);
  const offset = checkpoint.entries.find(({ name }) => name.endsWith('data/0'))?.offset ?? 0;
  const [byte] = await checkpoint.image.read(offset + 2_000_000, 1);
  await overwrite(path, offset + 2_000_000, Buffer.from([(byte as number) ^ 1]));
  const report = await verifyCheckpoint(checkpoint);
  assert.equal(report.ok, false);
  const bad = report.entries.filter(({ problem }) => problem !== undefined);
  assert.deepEqual(
    bad.map(({ entry, storageKey, tensors }) => [entry, storageKey, tensors]),
    [['model/data/0', '0', ['layer.0', 'tied.0']]],
  );
  assert.notEqual(bad[0]?.expected, bad[0]?.actual);
  assert.match(bad[0]?.problem ?? '', /CRC-32 is 0x[0-9a-f]{8}, the archive says 0x[0-9a-f]{8}/);
});

test('a bad archive inside the archive is named with all tensors in it', async (t) => {
  const inner = buildZip([{ name: 'data/0' }, { name: 'data/1' }]);
  const checkpoint = await zipCheckpoint(t, [{ name: 'policy.pth', content: inner, crc: 1 }]);
  const { entries } = await readArchive(
    checkpoint.image,
    checkpoint.entries[0] && windowOf(checkpoint.entries[0]),
  );
  const nested = checkpointOf(checkpoint.path, checkpoint.image, entries, []);
  const report = await verifyCheckpoint({ ...nested, entries: checkpoint.entries });
  const [policy] = report.entries;
  assert.deepEqual([policy?.entry, policy?.storageKey], ['policy.pth', undefined]);
  assert.deepEqual(policy?.tensors, ['layer.0', 'tied.0', 'layer.1', 'tied.1']);
});

test('a data descriptor that disagrees with the central directory is found', async (t) => {
  const path = await torchFile(t);
  const checkpoint = await archiveCheckpoint(t, path);
  const place = checkpoint.entries.find(({ name }) => name.endsWith('data/1'))?.descriptor;
  await overwrite(path, (place?.offset ?? 0) + 12, Buffer.from([101]));
  const bad = (await verifyCheckpoint(checkpoint)).entries.filter(({ problem }) => problem !== undefined);
  assert.deepEqual(
    bad.map(({ entry }) => entry),
    ['model/data/1'],
  );
  assert.match(bad[0]?.problem ?? '', /data descriptor at byte \d+ disagrees/);
});

test('a CRC-32 of 0 is bad, and said to mean perhaps that none was computed', async (t) => {
  const checkpoint = await zipCheckpoint(t, [{ name: 'a', crc: 0 }]);
  const [entry] = (await verifyCheckpoint(checkpoint)).entries;
  assert.match(entry?.problem ?? '', /written without checksums/);
});

test('deflated entries are inflated and checked: good, wrong CRC, wrong size, damaged, empty', async (t) => {
  const content = Buffer.alloc(3_000_000, 'text and more text ');
  const deflated = { method: DEFLATED, content };
  const checkpoint = await zipCheckpoint(t, [
    { name: 'good', ...deflated },
    { name: 'wrong crc', ...deflated, crc: 5 },
    { name: 'short', ...deflated, size: content.length + 1 },
    { name: 'long', ...deflated, size: content.length - 1 },
    { name: 'damaged', method: DEFLATED, raw: Buffer.alloc(50, 0xff), size: 100 },
    { name: 'empty', method: DEFLATED, content: new Uint8Array(0) },
    { name: 'not empty', ...deflated, size: 0, crc: 0 },
  ]);
  const seen: number[] = [];
  const report = await verifyCheckpoint(checkpoint, { onProgress: ({ done }) => seen.push(done) });
  const problems = Object.fromEntries(report.entries.map(({ entry, problem }) => [entry, problem]));
  assert.equal(problems.good, undefined);
  assert.match(problems['wrong crc'] ?? '', /CRC-32 is/);
  assert.match(problems.short ?? '', /ends after 3000000 of 3000001/);
  assert.match(problems.long ?? '', /goes on after/);
  assert.match(problems.damaged ?? '', /cannot be inflated/);
  assert.equal(problems.empty, undefined);
  assert.match(problems['not empty'] ?? '', /goes on after/);
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
});

test('a descriptor is read with its own width', async (t) => {
  const crc = 0xdeadbeef;
  const entries = ([12, 16, 20, 24] as const).map((length) => ({
    name: `data/${length}`,
    crc,
    flags: DESCRIPTOR_FLAG,
    trailer: descriptor(crc, 7, length),
  }));
  const report = await verifyCheckpoint(await zipCheckpoint(t, entries));
  for (const { problem } of report.entries) assert.match(problem ?? '', /CRC-32 is/);
});

test('a file that was cut off after it was opened has bad entries, and the others are still checked', async (t) => {
  const path = await torchFile(t);
  const checkpoint = await archiveCheckpoint(t, path);
  const file = await open(path, 'r+');
  await file.truncate(2_000_000);
  await file.close();
  const report = await verifyCheckpoint(checkpoint);
  const byName = new Map(report.entries.map(({ entry, problem }) => [entry, problem]));
  assert.equal(byName.get('model/data.pkl'), undefined);
  assert.match(byName.get('model/data/0') ?? '', /the file ended at byte 2000000/);
  assert.match(byName.get('model/version') ?? '', /the file ended/);
});

test('verifying stops when it is told to', async (t) => {
  const checkpoint = await archiveCheckpoint(t, await torchFile(t));
  const stop = new AbortController();
  let slices = 0;
  const verifying = verifyCheckpoint(checkpoint, {
    signal: stop.signal,
    onProgress: ({ entry }) => {
      if (entry.endsWith('data/0') && ++slices === 1) stop.abort(new Error('enough'));
    },
  });
  await assert.rejects(verifying, /enough/);
  assert.equal(slices, 1);
});

test('safetensors has no checksums: only that every tensor is there can be checked, and the report says so', async (t) => {
  const path = join(await temporaryDirectory(t), 'model.safetensors');
  const header =
    '{"a":{"dtype":"U8","shape":[6000],"data_offsets":[0,6000]},"b":{"dtype":"U8","shape":[6000],"data_offsets":[6000,12000]}}';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(12_000)]));
  const checkpoint = await openSafetensors(new Image(await FileSource.open(path)));
  t.after(() => checkpoint.close());
  const good = await verifyCheckpoint(checkpoint);
  assert.deepEqual([good.ok, good.checked, good.bytes], [true, 'structure', 12_000]);
  const file = await open(path, 'r+');
  await file.truncate(7000);
  await file.close();
  const bad = await verifyCheckpoint(checkpoint);
  assert.equal(bad.entries[0]?.problem, undefined);
  assert.match(bad.entries[1]?.problem ?? '', /the file ended/);
  assert.deepEqual(bad.entries[1]?.tensors, ['b']);
});
