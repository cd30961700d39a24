import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { checkedRanges, fileStructure } from '../../../src/checkpoint/file-structure.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { PyDict } from '../../../src/checkpoint/pickle/values.ts';
import { tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { readArchive } from '../../../src/checkpoint/zip/archive.ts';
import type { CheckedRange } from '../../../src/storage/checked-ranges.ts';
import { crc32 } from '../../../src/storage/crc32.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import {
  buildZip,
  DEFLATED,
  DESCRIPTOR_FLAG,
  descriptor,
  type EntryPlan,
} from '../../hostile/zip-builder.ts';
import { readFixtures } from '../../support/fixtures.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function opened(t: TestContext, path: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

/** Every field holds the CRC-32 of its range's bytes. */
async function assertWritten(image: Image, ranges: readonly CheckedRange[]): Promise<void> {
  for (const { offset, length, crc32: written, fields } of ranges) {
    assert.equal(crc32(await image.read(offset, length)), written, `bytes ${offset} to ${offset + length}`);
    assert.ok(fields.length > 0);
    for (const field of fields) {
      assert.equal((await image.read(field, 4)).readUInt32LE(0), written, `the field at ${field}`);
    }
  }
}

test('every checksum field of every fixture holds the CRC-32 of its entry', async (t) => {
  let fields = 0;
  for (const { name, path } of readFixtures()) {
    const checkpoint = await opened(t, path);
    const ranges = [...checkedRanges(checkpoint)];
    await assertWritten(checkpoint.image, ranges).catch((cause: Error) => {
      throw new Error(`${name}: ${cause.message}`);
    });
    for (const range of ranges) {
      assert.equal(range.fields.length, 2, `${name}: torch writes each checksum twice`);
      fields += range.fields.length;
    }
    const stored = checkpoint.entries.filter(({ method, size }) => method === 'stored' && size > 0);
    assert.equal(ranges.length, stored.length);
  }
  assert.ok(fields > 1000, `${fields} fields`);
});

test('what identifies a file holds no tensor that edits may change', async (t) => {
  for (const { name, path, tensors } of readFixtures()) {
    const checkpoint = await opened(t, path);
    const { identity } = fileStructure(checkpoint);
    assert.ok(identity.length > 0 || tensors.length > 0, name);
    for (const { offset, length } of identity) {
      assert.ok(length > 0 && offset + length <= checkpoint.image.size, name);
      for (const { key, bytes } of checkpoint.storages.values()) {
        if (bytes.kind !== 'extent' || bytes.length === 0 || bytes.readOnly === true) continue;
        const apart = bytes.offset + bytes.length <= offset || bytes.offset >= offset + length;
        assert.ok(apart, `${name}: storage ${key} lies in ${offset}+${length}`);
      }
    }
  }
});

test('a zip is identified by its central directory and its end records', async (t) => {
  const [fixture] = readFixtures().filter(({ name }) => name === 'torch-2.13/views.pt');
  const { image, entries, ...checkpoint } = await opened(t, (fixture ?? assert.fail()).path);
  const { identity } = fileStructure({ ...checkpoint, image, entries });
  const start = Math.min(...entries.map(({ centralOffset }) => centralOffset));
  assert.deepEqual(identity, [{ offset: start, length: image.size - start }]);
  assert.equal((await image.read(start, 4)).toString('latin1'), 'PK\x01\x02');
});

test('a legacy file is identified by its pickles', async (t) => {
  const [fixture] = readFixtures().filter(({ name }) => name === 'torch-1.13/legacy-views.pt');
  const checkpoint = await opened(t, (fixture ?? assert.fail()).path);
  const first = Math.min(
    ...[...checkpoint.storages.values()].map(({ bytes }) =>
      bytes.kind === 'extent' ? bytes.offset : Infinity,
    ),
  );
  assert.deepEqual(fileStructure(checkpoint).identity, [{ offset: 0, length: first }]);
  assert.deepEqual([...checkedRanges(checkpoint)], []);
});

async function archive(t: TestContext, plans: readonly EntryPlan[]) {
  const path = join(await temporaryDirectory(t), 'archive.zip');
  await writeFile(path, buildZip(plans));
  const image = new Image(await FileSource.open(path));
  t.after(() => image.close());
  return { image, ...(await readArchive(image)) };
}

const content = Buffer.from('some bytes');

test('without a descriptor the local header has the checksum', async (t) => {
  const { image, entries } = await archive(t, [{ name: 'a', content }]);
  const ranges = [...checkedRanges({ entries })];
  await assertWritten(image, ranges);
  assert.deepEqual(
    ranges.map(({ fields }) => fields),
    [[(entries[0]?.centralOffset ?? 0) + 16, 14]],
  );
});

for (const length of [12, 16, 20, 24] as const) {
  test(`the checksum is found in a descriptor of ${length} bytes`, async (t) => {
    const trailer = descriptor(crc32(content), content.length, length);
    const { image, entries } = await archive(t, [
      { name: 'a', content, flags: DESCRIPTOR_FLAG, local: { crc: 0, size: 0, compressedSize: 0 }, trailer },
    ]);
    const ranges = [...checkedRanges({ entries })];
    await assertWritten(image, ranges);
    assert.equal(ranges[0]?.fields.length, 2);
  });
}

test('a local header that says another checksum, or promises a descriptor that is not there, is left as it is', async (t) => {
  const other = await archive(t, [{ name: 'a', content, local: { crc: 7 } }]);
  const none = await archive(t, [
    { name: 'a', content, flags: DESCRIPTOR_FLAG, local: { crc: 0, size: 0, compressedSize: 0 } },
  ]);
  for (const { image, entries } of [other, none]) {
    const ranges = [...checkedRanges({ entries })];
    await assertWritten(image, ranges);
    assert.equal(ranges[0]?.fields.length, 1);
  }
});

test('deflated and empty entries are not followed: nothing in them can be written', async (t) => {
  const { entries } = await archive(t, [
    { name: 'a', method: DEFLATED, content },
    { name: 'b', content: new Uint8Array(0) },
    { name: 'c', content },
  ]);
  assert.deepEqual(
    [...checkedRanges({ entries })].map(({ offset }) => offset),
    [entries[2]?.offset],
  );
});

test('of an archive inside an archive both levels are followed, the inner ones inside the outer', async (t) => {
  const folder = await temporaryDirectory(t);
  const root = new PyDict();
  root.set('w', tensorToWrite('float32', [64], Buffer.alloc(256, 1)));
  await writeTorchZip(join(folder, 'policy.pth'), { root });
  const inner = await readFile(join(folder, 'policy.pth'));
  const path = join(folder, 'agent.zip');
  await writeFile(
    path,
    buildZip([
      { name: 'data', content },
      { name: 'policy.pth', content: inner },
    ]),
  );
  const checkpoint = await opened(t, path);
  assert.equal(checkpoint.format, 'zip-bundle');
  const ranges = [...checkedRanges(checkpoint)];
  await assertWritten(checkpoint.image, ranges);
  const outer = ranges.find(({ length }) => length === inner.length) ?? assert.fail('the outer entry');
  const nested = ranges.filter(
    ({ offset, fields }) =>
      offset > outer.offset && fields.every((field) => field < outer.offset + outer.length),
  );
  assert.ok(nested.length >= 2, `${nested.length} inner entries`);
  const [identity] = fileStructure(checkpoint).identity;
  assert.ok(identity !== undefined && identity.offset >= outer.offset + outer.length);
  assert.equal(identity.offset + identity.length, checkpoint.image.size);
});

test('safetensors files are identified by their header and have no checksums', async (t) => {
  const path = join(await temporaryDirectory(t), 'model.safetensors');
  const header = Buffer.from('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([length, header, Buffer.alloc(8)]));
  const checkpoint = await opened(t, path);
  assert.deepEqual(fileStructure(checkpoint).identity, [{ offset: 0, length: 8 + header.length }]);
  assert.deepEqual([...checkedRanges(checkpoint)], []);
});
