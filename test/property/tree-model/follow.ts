import assert from 'node:assert/strict';
import { STORAGES } from './checkpoint.ts';
import type { Client } from './client.ts';
import { Model } from './model.ts';
import { type Operation, TENSOR_PATHS } from './operation.ts';

/** Carries a sequence out on a client and on the model; at each step both answer the same, and in the end the files agree. */
export async function follow(
  client: Client,
  places: ReadonlyMap<string, number>,
  sequence: readonly Operation[],
): Promise<void> {
  const model = new Model(STORAGES, client.between);
  let step = 0;
  const both = async (operation: Operation) => {
    const foretold = model.perform(operation);
    if (foretold === undefined) return;
    step++;
    const got = await client.perform(operation);
    assert.deepEqual(got, foretold, `step ${step}, ${JSON.stringify(operation)}`);
  };
  const contents = async () => {
    for (const path of TENSOR_PATHS) await both({ do: 'content', path });
  };
  const committed = async () => {
    const file = await client.file();
    for (const [key, bytes] of model.committed) {
      const place = places.get(key) as number;
      assert.deepEqual(
        file.subarray(place, place + bytes.length),
        bytes,
        `storage ${key} of the file after step ${step}`,
      );
    }
  };
  for (const operation of sequence) {
    if (operation.do === 'remount') for (const closing of model.closings()) await both(closing);
    await both(operation);
    if (!['read', 'list', 'size', 'content', 'open'].includes(operation.do)) await contents();
    if (operation.do === 'commit' || operation.do === 'discard') await committed();
  }
  for (const closing of model.closings()) await both(closing);
  await both({ do: 'remount' });
  await contents();
  await both({ do: 'list', path: '/model' });
  for (const path of ['/model/a.grad', '/model/c.grad']) await both({ do: 'content', path });
  await committed();
}
