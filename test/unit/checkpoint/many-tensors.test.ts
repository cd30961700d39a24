import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { modelOf, nameTensors } from '../../../src/checkpoint/model.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { expertNames, writeExpertsPt, writeExpertsSafetensors } from '../../support/mixture-of-experts.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** Across several slices of every parser. */
const COUNT = 9000;

for (const [kind, write] of [
  ['.pt', writeExpertsPt],
  ['.safetensors', writeExpertsSafetensors],
] as const) {
  test(`a ${kind} of thousands of tensors has each under its name, in its order, over bytes of its own`, async (t) => {
    const path = join(await temporaryDirectory(t), `experts${kind}`);
    await write(path, COUNT);
    const checkpoint = await openCheckpoint(path);
    t.after(() => checkpoint.close());
    const names = nameTensors(checkpoint, modelOf(checkpoint));
    assert.deepEqual(
      names.all.map(({ name }) => name),
      expertNames(COUNT),
    );
    assert.equal(names.tensors, COUNT);
    assert.equal(checkpoint.storages.size, COUNT);
    const offsets = names.all.map(({ tensor: { storage } }) =>
      storage.bytes.kind === 'extent' ? storage.bytes.offset : -1,
    );
    assert.ok(offsets.every((offset, index) => offset > (offsets[index - 1] ?? 0)));
    const shapes = new Set(names.all.map(({ tensor }) => tensor.shape));
    assert.ok(shapes.size < 3, 'equal shapes are one array');
  });
}
