/** What takes long is worked out in slices, once for all who wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../../../src/storage/in-slices.ts';
import { joinedBytes } from '../../../src/storage/joined-bytes.ts';
import { Sliced } from '../../../src/storage/sliced.ts';
import { Utf8Pieces } from '../../../src/storage/utf8-pieces.ts';

function counting(fails = 0) {
  const counts = { begun: 0 };
  const sliced = new Sliced(function* () {
    counts.begun++;
    yield;
    if (counts.begun <= fails) throw new Error('no bytes');
    return { made: counts.begun };
  });
  return { counts, sliced };
}

test('a value is made once for all who wait, and then there', async () => {
  const { counts, sliced } = counting();
  assert.equal(sliced.done, false);
  await Promise.all([sliced.make(), sliced.make()]);
  assert.equal(sliced.done, true);
  await sliced.make();
  assert.equal(sliced.value, sliced.value);
  assert.equal(counts.begun, 1);
});

test('who cannot wait gets the value at once, and those who wait get the same one', async () => {
  const { sliced } = counting();
  const making = sliced.make();
  const value = sliced.value;
  await making;
  assert.equal(sliced.value, value);
});

test('work that failed is begun again by the next who waits', async () => {
  const { sliced } = counting(1);
  await assert.rejects(sliced.make(), /no bytes/);
  assert.equal(sliced.done, false);
  await sliced.make();
  assert.deepEqual(sliced.value, { made: 2 });
});

test('large pieces are joined with a yield at least every two megabytes', () => {
  const pieces = [3, 5 * 1024 * 1024 + 1, 0, 100_000, 2 * 1024 * 1024].map((size, index) =>
    Buffer.alloc(size, index + 1),
  );
  const work = joinedBytes(pieces);
  let yields = 0;
  for (;;) {
    const { done, value } = work.next();
    if (done === true) {
      assert.ok(value.equals(Buffer.concat(pieces)));
      break;
    }
    yields++;
  }
  assert.ok(yields >= 3, String(yields));
  assert.equal(atOnce(joinedBytes([])).byteLength, 0);
});

test('a text that grows is the same in pieces of UTF-8', () => {
  const text = new Utf8Pieces();
  const parts = Array.from({ length: 5000 }, (_unused, index) => `${index} é 𝕏 ${'x'.repeat(index % 90)}`);
  for (const part of parts) text.add(part);
  const pieces = text.end();
  assert.ok(pieces.length > 1);
  assert.equal(Buffer.concat(pieces).toString(), parts.join(''));
  assert.equal(text.bytes, Buffer.byteLength(parts.join('')));
});
