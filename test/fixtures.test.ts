/** Real files that torch 1.13 and 2.13 saved, opened without torch: everything torch says of them must be found. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Checkpoint } from '../src/checkpoint/checkpoint.ts';
import { valueToJson } from '../src/checkpoint/json.ts';
import { openCheckpoint } from '../src/checkpoint/open.ts';
import { findStateDict } from '../src/checkpoint/state-dict.ts';
import type { NamedTensor } from '../src/checkpoint/tensor.ts';
import { tensorContent } from '../src/checkpoint/tensor-content.ts';
import { modelStr } from '../src/checkpoint/torch/module-str.ts';
import { verifyCheckpoint } from '../src/checkpoint/verify.ts';
import { RenderedPages } from '../src/storage/rendered-pages.ts';
import { contentSha256 } from './support/content-sha256.ts';
import { type ExpectedTensor, type Fixture, readFixtures } from './support/fixtures.ts';

/** Of a tensor without bytes the fixtures say null. */
async function ownSha256({ tensor }: NamedTensor, cache: RenderedPages): Promise<string | null> {
  return tensor.storage.bytes.kind === 'absent' ? null : contentSha256(tensorContent(tensor, cache));
}

async function found(named: NamedTensor, cache: RenderedPages): Promise<ExpectedTensor> {
  const { path, tensor } = named;
  return {
    path,
    dtype: tensor.dtype,
    shape: tensor.shape,
    stride: tensor.stride,
    offset: tensor.storageOffset,
    requires_grad: tensor.requiresGrad,
    parameter: tensor.isParameter,
    sha256: await ownSha256(named, cache),
    ...(tensor.conj ? { conj: true } : {}),
    ...(tensor.neg ? { neg: true } : {}),
  };
}

function byPath(one: ExpectedTensor, other: ExpectedTensor): number {
  const [first, second] = [JSON.stringify(one.path), JSON.stringify(other.path)];
  return first < second ? -1 : first > second ? 1 : 0;
}

async function opened(t: TestContext, fixture: Fixture): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(fixture.path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

for (const fixture of readFixtures()) {
  describe(fixture.name, () => {
    test('is what it is, and has nothing to complain about', async (t) => {
      const checkpoint = await opened(t, fixture);
      assert.equal(checkpoint.format, fixture.format);
      assert.deepEqual(
        checkpoint.warnings.map(({ message }) => message),
        [],
      );
      for (const [key, value] of Object.entries(fixture.metadata ?? {})) {
        assert.equal(checkpoint.metadata[key], value);
      }
    });

    test('has the tensors torch has, with the bytes torch has', async (t) => {
      const checkpoint = await opened(t, fixture);
      // A cache of a few pages, so that what is gathered or inflated is evicted too.
      const cache = new RenderedPages(256 * 1024);
      const actual = await Promise.all(checkpoint.tensors.map((named) => found(named, cache)));
      const expected = fixture.tensors.map((tensor) => ({ ...tensor, parameter: tensor.parameter ?? false }));
      assert.deepEqual(actual.sort(byPath), expected.sort(byPath));
    });

    test('passes verification', async (t) => {
      const { ok, entries } = await verifyCheckpoint(await opened(t, fixture));
      assert.deepEqual(
        entries.filter(({ problem }) => problem !== undefined),
        [],
      );
      assert.ok(ok);
    });

    test('has an object tree that JSON can show', async (t) => {
      const checkpoint = await opened(t, fixture);
      JSON.parse(valueToJson(checkpoint.root));
    });

    if (fixture.str !== undefined) {
      test('prints as torch prints it', async (t) => {
        assert.equal(modelStr((await opened(t, fixture)).root), fixture.str);
      });
    }
    if (fixture.stateDict !== undefined) {
      test('has the state dict that torch makes of it', async (t) => {
        const stateDict = findStateDict((await opened(t, fixture)).root);
        assert.deepEqual([...(stateDict?.names.keys() ?? [])], fixture.stateDict);
      });
    }
  });
}
