/** /export/model.safetensors: the model in a format that is nowhere written, read by plain readers, edits included. */
import assert from 'node:assert/strict';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Checkpoint } from '../../../src/checkpoint/checkpoint.ts';
import { modelOf } from '../../../src/checkpoint/model.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { tensorContent } from '../../../src/checkpoint/tensor-content.ts';
import { readContent } from '../../../src/storage/read-extents.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { omittedTensors, SafetensorsExport } from '../../../src/tree/safetensors-export.ts';
import { readSafetensorsPlainly } from '../../corpus/plain-safetensors.ts';
import { sha256 } from '../../corpus/sha256.ts';
import { readFixtures } from '../../support/fixtures.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { storage, tensor } from './tree-fixtures.ts';

const cache = () => new RenderedPages(1 << 20);

function exported(checkpoint: Checkpoint) {
  const { tensors } = modelOf(checkpoint);
  const content = new SafetensorsExport(tensors, cache());
  return { tensors, bytes: async () => Buffer.from(await readContent(content, 0, content.size)) };
}

async function open(t: TestContext, path: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

test('every fixture exports the tensors that safetensors has a dtype for, and the careful reader takes the file', async (t) => {
  let compared = 0;
  for (const { name, path } of await readFixtures()) {
    const checkpoint = await open(t, path);
    if (checkpoint.format === 'safetensors') continue;
    const { tensors, bytes } = exported(checkpoint);
    const file = await bytes();
    const found = new Map(readSafetensorsPlainly(file).map((tensor) => [tensor.name, tensor]));
    const { __metadata__: metadata } = JSON.parse(
      file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE(0))),
    );
    const leftOut = (metadata.mlfs_left_out ?? '').split(' ');
    for (const { name: own, tensor } of tensors) {
      const there = found.get(own === '' && tensors.length === 1 ? 'tensor' : own);
      if (there === undefined) {
        assert.ok(leftOut.includes(own), `${name}: ${own} is left out and said so`);
        assert.match(
          metadata.mlfs_left_out_because,
          /^[^\n]+: (?:safetensors has no dtype \w+|its bytes are not in the file)$/m,
        );
        continue;
      }
      const content = tensorContent(tensor, cache());
      assert.equal(there.sha256, sha256(Buffer.from(await readContent(content, 0, content.size))), own);
      assert.equal(there.dtype, tensor.dtype, own);
      compared++;
    }
    const copy = join(await temporaryDirectory(t), 'model.safetensors');
    await writeFile(copy, file);
    const again = await open(t, copy);
    assert.equal(again.tensors.length, found.size, name);
  }
  assert.ok(compared > 300, `${compared} tensors were compared`);
});

test('names that no reader takes are left out with a reason, and what else is left out may be any number', async () => {
  const bytes = { kind: 'decoded', length: 4, read: async () => Buffer.alloc(4) } as const;
  const tensors = ['__metadata__', 'w\ud800', 'ok \u{1f600}', 'bits'].map((name, index) => ({
    name,
    tensor: tensor({ ...storage(String(index), 4), bytes }, [1], name === 'bits' ? { dtype: 'bits8' } : {}),
    parameter: true,
  }));
  const others = Array.from({ length: 200_000 }, (_unused, index) => ({
    name: `o${index}`,
    reason: 'it is one',
  }));
  const content = new SafetensorsExport(tensors, cache(), others);
  const text = Buffer.from(await readContent(content, 0, content.size)).toString('utf8', 8);
  assert.equal(text.split('"__metadata__"').length, 2, 'one key of that name');
  assert.doesNotMatch(text, /(?<!\\)\\ud800/, 'no half of a pair, and so no refusal');
  const header = JSON.parse(text.slice(0, text.lastIndexOf('}') + 1));
  assert.deepEqual(Object.keys(header), ['__metadata__', 'ok \u{1f600}']);
  const because = header.__metadata__.mlfs_left_out_because.split('\n');
  assert.equal(because.length, 3 + others.length);
  assert.deepEqual(because.slice(0, 3), [
    '__metadata__: safetensors has its metadata under this name',
    'w\\ud800: its name is not text that UTF-8 has',
    'bits: safetensors has no dtype bits8',
  ]);
  assert.deepEqual(
    Array.from(omittedTensors(tensors, cache()), ({ name }) => name),
    ['__metadata__', 'w\ud800', 'bits'],
  );
});

test('an edit shows in the export at once, in gathered tensors too', async (t) => {
  const fixture = (await readFixtures()).find(({ path }) => path.endsWith('torch-2.13/views.pt'));
  assert.ok(fixture !== undefined);
  const path = join(await temporaryDirectory(t), 'views.pt');
  await copyFile(fixture.path, path);
  const edited = await WritableCheckpoint.open(path);
  t.after(() => edited.close());
  const { checkpoint } = edited;
  const { tensors, bytes } = exported(checkpoint);
  await bytes();
  let changed = 0;
  for (const { name, tensor } of tensors) {
    const content = tensorContent(tensor, cache());
    const { writer } = content;
    if (writer === undefined || content.size === 0) continue;
    const [first = 0] = await readContent(content, 0, 1);
    await checkpoint.image.update((update) => writer.write(update, 0, Buffer.of(first ^ 0x40)));
    if (content.kind === 'rendered') content.invalidate?.();
    const shown = readSafetensorsPlainly(await bytes()).find((one) => one.name === name);
    assert.equal(shown?.sha256, sha256(Buffer.from(await readContent(content, 0, content.size))), name);
    changed += content.kind === 'rendered' ? 1 : 0;
  }
  assert.ok(changed > 0, 'a gathered tensor was edited');
});
