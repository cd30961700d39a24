/** /export: what it shows while there are edits is what a commit would write, and every reader of archives accepts it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { PyDict, type Value } from '../../../src/checkpoint/pickle/values.ts';
import { tensorContent } from '../../../src/checkpoint/tensor-content.ts';
import { tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { verifyCheckpoint } from '../../../src/checkpoint/verify.ts';
import { Checksums } from '../../../src/storage/checksums.ts';
import type { ExtentContent } from '../../../src/storage/content.ts';
import { readExtents } from '../../../src/storage/read-extents.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { addExportRoom } from '../../../src/tree/export-room.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { buildZip } from '../../hostile/zip-builder.ts';
import { type Fixture, readFixtures } from '../../support/fixtures.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { at } from './tree-fixtures.ts';

function exportOf(checkpoint: Checkpoint, checksums?: Checksums): { name: string; content: ExtentContent } {
  const table = new InodeTable(0);
  const room = table.room('export', false);
  addExportRoom(table, room, {
    checkpoint,
    checksums,
    tensors: [],
    leftOut: [],
    cache: new RenderedPages(1 << 20),
  });
  const [name = ''] = room.children.keys();
  const inode = at(room, name);
  assert.ok(inode.kind === 'file' && inode.content.kind === 'extents');
  assert.equal(inode.mode, 0o444);
  assert.equal(inode.content.writer, undefined);
  return { name, content: inode.content };
}

const whole = async ({ size, extents }: ExtentContent) => Buffer.from(await readExtents(extents, 0, size));

async function edited(t: TestContext, path: string): Promise<WritableCheckpoint> {
  const opened = await WritableCheckpoint.open(path);
  t.after(() => opened.close());
  return opened;
}

/** Writes into the first, a middle and the last byte of every tensor that can be written. Returns how many were. */
async function editAll({ checkpoint }: WritableCheckpoint): Promise<number> {
  let written = 0;
  for (const { tensor } of checkpoint.tensors) {
    const content = tensorContent(tensor, new RenderedPages(1 << 20));
    if (!(content.kind === 'extents' || content.kind === 'rendered')) continue;
    const { writer, size } = content;
    if (writer === undefined || size === 0) continue;
    for (const offset of new Set([0, size >> 1, size - 1])) {
      await checkpoint.image.update(async (update) => {
        await writer.write(update, offset, Buffer.of((offset * 31 + written) & 0xff));
      });
    }
    written++;
  }
  return written;
}

/** Python's own reader of archives checks every CRC-32, also of the archives inside. */
const TESTZIP = `
import io, sys, zipfile
def check(source):
    with zipfile.ZipFile(source) as archive:
        bad = archive.testzip()
        if bad is not None: sys.exit('bad: ' + bad)
        for name in archive.namelist():
            if name.endswith('.pth'): check(io.BytesIO(archive.read(name)))
check(sys.argv[1])
`;

async function assertSound(t: TestContext, bytes: Buffer): Promise<void> {
  const path = join(await temporaryDirectory(t), 'exported.pt');
  await writeFile(path, bytes);
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  const { ok, entries } = await verifyCheckpoint(checkpoint);
  assert.ok(ok, JSON.stringify(entries));
  if (checkpoint.entries.length === 0) return;
  const python = spawnSync('python3', ['-c', TESTZIP, path], { encoding: 'utf8' });
  assert.equal(python.status, 0, python.stderr);
}

async function assertExportIsCommit(t: TestContext, path: string): Promise<void> {
  const before = await readFile(path);
  const opened = await edited(t, path);
  const { content } = exportOf(opened.checkpoint, opened.editing.checksums);
  assert.ok((await whole(content)).equals(before), 'without edits it is the file');
  assert.ok((await editAll(opened)) > 0);
  const exported = await whole(content);
  assert.ok(!exported.equals(before));
  assert.ok((await readFile(path)).equals(before), 'the file is untouched');
  await assertSound(t, exported);
  await opened.edits.commit();
  assert.ok((await readFile(path)).equals(exported), 'the commit writes what the export showed');
  assert.ok((await whole(content)).equals(exported), 'and the export goes on showing it');
}

const CHOSEN = new Set([
  'torch-2.13/views.pt',
  'torch-1.13/checkpoint.pt',
  'torch-1.13/legacy-views.pt',
  'torch-1.13/scripted.pt',
]);

for (const { name, path } of readFixtures().filter((fixture: Fixture) => CHOSEN.has(fixture.name))) {
  test(
    `${name}: what is exported with edits in every tensor is what a commit writes`,
    requires('python3'),
    async (t) => {
      const copy = join(await temporaryDirectory(t), 'model.pt');
      await copyFile(path, copy);
      await assertExportIsCommit(t, copy);
    },
  );
}

const one = (key: string, value: Value) => {
  const root = new PyDict();
  root.set(key, value);
  return root;
};

async function bundle(t: TestContext): Promise<string> {
  const folder = await temporaryDirectory(t);
  const inner = join(folder, 'policy.pth');
  await writeTorchZip(inner, { root: one('w', tensorToWrite('float32', [64], Buffer.alloc(256, 1))) });
  const path = join(folder, 'agent.zip');
  await writeFile(
    path,
    buildZip([
      { name: 'data', content: Buffer.from('{}') },
      { name: 'policy.pth', content: await readFile(inner) },
      { name: 'after', content: Buffer.from('more') },
    ]),
  );
  return path;
}

test('an archive inside an archive has right checksums on both levels', requires('python3'), async (t) => {
  await assertExportIsCommit(t, await bundle(t));
});

test('a second commit starts from the checksums that the first one wrote', requires('python3'), async (t) => {
  const path = await bundle(t);
  for (const value of [3, 4, 3]) {
    const opened = await WritableCheckpoint.open(path);
    const { content } = exportOf(opened.checkpoint, opened.editing.checksums);
    const { bytes } = opened.checkpoint.tensors[0]?.tensor.storage ?? assert.fail();
    assert.ok(bytes.kind === 'extent');
    for (const at of [0, 100]) {
      await bytes.image.update((update) => update.write(bytes.offset + at, Buffer.of(value + at)));
      await assertSound(t, await whole(content));
      await opened.edits.commit();
    }
    await opened.close();
    await assertSound(t, await readFile(path));
  }
});

test('any part of the export is that part of the whole', async (t) => {
  const path = await bundle(t);
  const opened = await edited(t, path);
  await editAll(opened);
  const { content } = exportOf(opened.checkpoint, opened.editing.checksums);
  const all = await whole(content);
  const { extents, size } = content;
  const computed = extents.filter(({ kind }) => kind === 'computed').length;
  assert.equal(computed, opened.editing.checksums.fields.length);
  for (let offset = 0; offset < size; offset++) {
    const length = Math.min(3, size - offset);
    const part = await readExtents(extents, offset, length);
    assert.ok(Buffer.from(part).equals(all.subarray(offset, offset + length)), `${offset}`);
  }
});

test('discarded edits are gone from the export, checksums too', async (t) => {
  const path = await bundle(t);
  const opened = await edited(t, path);
  const { content } = exportOf(opened.checkpoint, opened.editing.checksums);
  await editAll(opened);
  await opened.edits.discard();
  assert.ok((await whole(content)).equals(await readFile(path)));
});

test('a file that cannot be edited is one extent', async (t) => {
  const checkpoint = await openCheckpoint(await bundle(t));
  t.after(() => checkpoint.close());
  const { image } = checkpoint;
  assert.deepEqual(exportOf(checkpoint).content.extents, [
    { kind: 'image', image, offset: 0, length: image.size },
  ]);
});

test('the checksums are listed when somebody asks for the bytes, and not for the size', () => {
  let asked = 0;
  class Counted extends Checksums {
    override get fields(): Float64Array {
      asked++;
      return super.fields;
    }
  }
  const ranges = Array.from({ length: 20_000 }, (_, index) => ({
    offset: index * 100,
    length: 50,
    crc32: 0,
    fields: [index * 100 + 60, 3_000_000 + index * 50],
  }));
  const image = { path: 'm.pt', size: 5_000_000 };
  const checkpoint = { image, path: 'm.pt', format: 'torch-zip' } as unknown as Checkpoint;
  const { content } = exportOf(checkpoint, new Counted(ranges));
  assert.equal(content.size, 5_000_000);
  assert.equal(asked, 0);
  assert.equal(content.extents.length, 80_001);
  assert.equal(content.extents, content.extents);
  assert.equal(asked, 1);
});

test('the export is called after the format', () => {
  const named = (format: string, path: string) =>
    exportOf({ image: { size: 1 }, path, format } as unknown as Checkpoint).name;
  assert.equal(named('torch-zip', 'a.ckpt'), 'model.pt');
  assert.equal(named('torch-legacy', 'a.pth.tar'), 'model.pt');
  assert.equal(named('torchscript', 'a'), 'model.pt');
  assert.equal(named('safetensors', 'a.bin'), 'model.safetensors');
  assert.equal(named('torch-export', 'a.zip'), 'model.pt2');
  assert.equal(named('zip-bundle', 'agent.zip'), 'model.zip');
  assert.equal(named('pickle', 'scheduler.bin'), 'model.bin');
  assert.equal(named('pickle', 'no suffix'), 'model.pkl');
  assert.equal(named('pickle', 'a.b c'), 'model.pkl');
});
