import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Listings, listedAfter } from '../../../src/activations/listings.ts';
import { Nodes } from '../../../src/activations/nodes.ts';

const files = (...names: string[]) => names.map((name) => ({ name, kind: 'file' as const }));
const after = (listing: ReturnType<Listings['begin']>, offset: number) =>
  [...listedAfter(listing, offset)].map(({ name }) => name);

test('an offset means the same name whatever is made and removed', () => {
  const { root } = new Nodes();
  const listings = new Listings();
  const first = listings.begin(root, files('a', 'c', 'e'));
  const second = listings.begin(root, files('b', 'c', 'e'));
  const [, c] = first;
  assert.deepEqual(after(second, c?.offset ?? 0), ['e', 'b']);
  assert.deepEqual(after(second, 0), ['c', 'e', 'b']);
  const third = listings.begin(root, files());
  assert.deepEqual(after(third, 0), []);
});

test('a listing goes on from each of its names', () => {
  const { root } = new Nodes();
  const names = Array.from({ length: 1000 }, (_, index) => `n${index}`);
  const listing = new Listings().begin(root, files(...names));
  for (const [index, { offset }] of listing.entries()) {
    assert.equal(after(listing, offset)[0], names[index + 1]);
  }
});

test('a folder of very many names is listed in many turns of the event loop, with the same outcome', async () => {
  const { root } = new Nodes();
  const [slow, fast] = [new Listings(), new Listings()];
  const names = Array.from({ length: 50_000 }, (_, index) => `n${index}`);
  let turns = 0;
  let listing = true;
  const count = () => {
    turns++;
    if (listing) setImmediate(count);
  };
  setImmediate(count);
  for (const some of [names, names.filter((_, index) => index % 3 !== 0).reverse(), [...names, 'new']]) {
    const listed = await slow.beginInTurns(root, files(...some));
    assert.deepEqual(listed, fast.begin(root, files(...some)));
  }
  listing = false;
  assert.ok(turns > 300, `${turns} turns`);
});
