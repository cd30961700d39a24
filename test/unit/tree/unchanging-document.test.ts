import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { UnchangingDocument } from '../../../src/tree/unchanging-document.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** A turn later: what was made in this one is held by it. */
async function collectGarbage(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) {
    await setImmediate();
    collect();
  }
}

test('a document is made once for a listing and the open after it, and given up after a minute', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let made = 0;
  const document = new UnchangingDocument(async () => {
    made++;
    return new Uint8Array(1 << 20);
  });
  const ask = async () => void (await document.make());
  await Promise.all([ask(), ask()]);
  await collectGarbage();
  await ask();
  assert.equal(made, 1, 'garbage is collected between the listing and the open');
  t.mock.timers.tick(60_000);
  await collectGarbage();
  assert.equal(document.knownSize(), 1 << 20);
  await ask();
  assert.equal(made, 2, 'its bytes are not kept for ever');
});
