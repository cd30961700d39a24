import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../../../src/checkpoint/torch/writer.ts';
import { readArchive } from '../../../../src/checkpoint/zip/archive.ts';
import { readEntry } from '../../../../src/checkpoint/zip/read-entry.ts';
import { FileSource } from '../../../../src/storage/file-source.ts';
import { Image } from '../../../../src/storage/image.ts';
import { buildZip, DEFLATED, DESCRIPTOR_FLAG, descriptor, zip64End } from '../../../hostile/zip-builder.ts';
import { temporaryDirectory } from '../../../support/tmp.ts';

async function imageOf(t: TestContext, bytes: Uint8Array): Promise<Image> {
  const path = join(await temporaryDirectory(t), 'archive.zip');
  await writeFile(path, bytes);
  return opened(t, path);
}

async function opened(t: TestContext, path: string): Promise<Image> {
  const image = new Image(await FileSource.open(path));
  t.after(() => image.close());
  return image;
}

test('entries come in the order of the central directory with the place of their data', async (t) => {
  const bytes = buildZip([
    { name: 'm/b', content: Buffer.from('second'), local: { extra: Buffer.from('4642030000000000', 'hex') } },
    { name: 'm/a', content: Buffer.from('first') },
    { name: 'm/', content: new Uint8Array(0) },
  ]);
  const image = await imageOf(t, bytes);
  const { entries, warnings } = await readArchive(image);
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    entries.map(({ name, size, offset }) => [name, size, offset]),
    [
      ['m/b', 6, bytes.indexOf('second')],
      ['m/a', 5, bytes.indexOf('first')],
      ['m/', 0, bytes.indexOf('first') + 5 + 30 + 2],
    ],
  );
  const centralRecord = bytes.subarray(entries[1]?.centralOffset, (entries[1]?.centralOffset ?? 0) + 4);
  assert.equal(centralRecord.toString('latin1'), 'PK\x01\x02');
});

test('deflated entries read as what was deflated, empty ones as nothing', async (t) => {
  const image = await imageOf(
    t,
    buildZip([
      { name: 'code.py', method: DEFLATED, content: Buffer.alloc(10_000, 'import torch\n') },
      { name: 'empty', method: DEFLATED, content: new Uint8Array(0) },
    ]),
  );
  const [code, empty] = (await readArchive(image)).entries;
  assert.ok(code && empty);
  assert.equal(code.method, 'deflated');
  assert.ok((await readEntry(image, code, 10_000)).equals(Buffer.alloc(10_000, 'import torch\n')));
  assert.equal((await readEntry(image, empty, 0)).length, 0);
});

for (const length of [12, 16, 20, 24] as const) {
  test(`a data descriptor of ${length} bytes is found, with and without padding after it`, async (t) => {
    for (const padding of [0, 40]) {
      const content = Buffer.from('content');
      const crc = 0xf9eb20ad;
      const trailer = Buffer.concat([descriptor(crc, 7, length), Buffer.alloc(padding)]);
      const image = await imageOf(
        t,
        buildZip([{ name: 'a', content, crc, flags: DESCRIPTOR_FLAG, trailer }, { name: 'b' }]),
      );
      const [entry, other] = (await readArchive(image)).entries;
      assert.deepEqual(entry?.descriptor, { offset: 38, length });
      assert.equal(other?.descriptor, undefined);
    }
  });
}

test('names in UTF-8 without the flag, and in code page 437, are decoded', async (t) => {
  const image = await imageOf(
    t,
    buildZip([{ name: 'модель/0' }, { name: Buffer.from('caf\x82', 'latin1') }, { name: 'é', flags: 0x800 }]),
  );
  assert.deepEqual(
    (await readArchive(image)).entries.map(({ name }) => name),
    ['модель/0', 'café', 'é'],
  );
});

test('a ZIP64 size in the local header counts where the central directory has the same', async (t) => {
  const extra = Buffer.from('0100100007000000000000000700000000000000', 'hex');
  const local = { size: 0xffffffff, compressedSize: 0xffffffff, extra };
  const image = await imageOf(t, buildZip([{ name: 'a', local }], { zip64: zip64End() }));
  assert.equal((await readArchive(image)).entries[0]?.size, 7);
});

test('an archive inside another is read through its window, with offsets of the whole image', async (t) => {
  const inner = buildZip([{ name: 'archive/data.pkl', content: Buffer.from('the pickle') }]);
  const outer = buildZip([{ name: 'junk' }, { name: 'policy.pth', content: inner }, { name: 'tail' }]);
  const image = await imageOf(t, outer);
  const policy = (await readArchive(image)).entries[1];
  assert.ok(policy);
  const { entries } = await readArchive(image, { offset: policy.offset, length: policy.size });
  const [entry] = entries;
  assert.ok(entry);
  assert.equal(entry.offset, outer.indexOf('the pickle'));
  assert.equal((await readEntry(image, entry, 100)).toString(), 'the pickle');
  assert.equal(outer.readUInt32LE(entry.centralOffset), 0x02014b50);
});

test('the empty archive has no entries', async (t) => {
  assert.deepEqual((await readArchive(await imageOf(t, buildZip([])))).entries, []);
});

test('an archive of 1 TiB with data above 2 and 4 GiB opens with every offset right', async (t) => {
  const path = join(await temporaryDirectory(t), 'huge.pt');
  const gibi = 2 ** 30;
  const marker = (text: string) => ({ ranges: [{ offset: 5, bytes: Buffer.from(text) }] });
  await writeTorchZip(path, {
    tensors: [
      { name: 'a', dtype: 'uint8', shape: [3 * gibi], fill: marker('a marker') },
      { name: 'b', dtype: 'uint8', shape: [2 * gibi], fill: marker('b marker') },
      { name: 'c', dtype: 'uint8', shape: [1019 * gibi], fill: marker('c marker') },
      { name: 'd', dtype: 'uint8', shape: [13], fill: marker('d marker') },
    ],
  });
  const image = await opened(t, path);
  const { entries } = await readArchive(image);
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  for (const [index, letter] of ['a', 'b', 'c', 'd'].entries()) {
    const entry = byName.get(`huge/data/${index}`);
    assert.ok(entry);
    assert.equal((await image.read(entry.offset + 5, 8)).toString(), `${letter} marker`);
    assert.equal(entry.offset % 64, 0);
    const after = await image.read(entry.descriptor?.offset ?? 0, 4);
    assert.equal(after.toString('latin1'), 'PK\x07\x08');
    assert.equal(entry.descriptor?.length, index < 2 ? 16 : 24);
  }
  assert.ok((byName.get('huge/data/3')?.offset ?? 0) > 1024 * gibi);
});

test('headers that are spread over a file are each found, in whatever order they are listed', async (t) => {
  const path = join(await temporaryDirectory(t), 'spread.pt');
  const count = 3000;
  await writeTorchZip(path, {
    tensors: Array.from({ length: count }, (_, index) => ({
      name: `t${index}`,
      dtype: 'uint8',
      shape: [100_000],
      fill: { ranges: [{ offset: 0, bytes: Buffer.from(`#${index};`) }] },
    })),
  });
  const image = await opened(t, path);
  for (const entry of (await readArchive(image)).entries) {
    const key = /data\/(\d+)$/.exec(entry.name)?.[1];
    if (key === undefined) continue;
    const expected = `#${key};`;
    assert.equal((await image.read(entry.offset, expected.length)).toString(), expected);
  }
});

test('a file that shrinks while it is read is an error of that read', async (t) => {
  const path = join(await temporaryDirectory(t), 'shrinking.pt');
  await writeFile(path, buildZip([{ name: 'a', content: new Uint8Array(5000) }]));
  const image = await opened(t, path);
  const [entry] = (await readArchive(image)).entries;
  assert.ok(entry);
  const file = await open(path, 'r+');
  await file.truncate(100);
  await file.close();
  await assert.rejects(readEntry(image, entry, 5000), { code: 'ERR_MLFS_TRUNCATED', errno: 'EIO' });
  await assert.rejects(readArchive(image), { code: 'ERR_MLFS_TRUNCATED' });
});
