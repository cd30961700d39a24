import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalPages, RenderedPages, readPaged } from '../../../src/storage/rendered-pages.ts';

const page = (size: number, fill = 0) => new Uint8Array(size).fill(fill);

test('a page is loaded once for everybody who asks while it loads', async () => {
  const cache = new RenderedPages(1 << 20);
  const content = cache.newContent();
  let loads = 0;
  let finish: (bytes: Uint8Array) => void = () => {};
  const load = () => {
    loads++;
    return new Promise<Uint8Array>((resolve) => {
      finish = resolve;
    });
  };
  const readers = [1, 2, 3].map(() => cache.get(content, 0, load));
  await Promise.resolve();
  finish(page(10, 7));
  for (const bytes of await Promise.all(readers)) assert.equal(bytes[0], 7);
  await cache.get(content, 0, load);
  assert.equal(loads, 1);
  const { hits, misses } = cache.counters;
  assert.deepEqual({ hits, misses }, { hits: 3, misses: 1 });
});

test('a page whose content is forgotten while its load begins is not kept', async () => {
  const cache = new RenderedPages(1 << 20);
  const content = cache.newContent();
  // The first thing that a load does may report a change: it takes up what session threads have written.
  const bytes = await cache.get(content, 0, async () => {
    cache.forget(content);
    return page(10, 1);
  });
  assert.equal(bytes[0], 1);
  assert.equal(cache.peek(content, 0), undefined);
  assert.equal((await cache.get(content, 0, async () => page(10, 2)))[0], 2);
});

test('the cache holds no more bytes than it may, and drops the page that was used longest ago', async () => {
  const cache = new RenderedPages(300);
  const content = cache.newContent();
  for (const index of [0, 1, 2]) await cache.get(content, index, async () => page(100, index));
  await cache.get(content, 0, async () => assert.fail('page 0 is still there'));
  await cache.get(content, 3, async () => page(100, 3));
  assert.equal(cache.counters.bytes, 300);
  assert.equal(cache.counters.evictions, 1);
  assert.equal(cache.peek(content, 1), undefined);
  assert.equal(cache.peek(content, 0)?.[0], 0);
});

test('a page larger than the whole cache is served and not kept', async () => {
  const cache = new RenderedPages(100);
  const content = cache.newContent();
  assert.equal((await cache.get(content, 0, async () => page(1000))).length, 1000);
  assert.equal(cache.counters.bytes, 0);
});

test('a failed load fails its readers and is tried again by the next', async () => {
  const cache = new RenderedPages();
  const content = cache.newContent();
  await assert.rejects(
    cache.get(content, 0, async () => {
      throw new Error('the disk is gone');
    }),
    /the disk is gone/,
  );
  assert.equal((await cache.get(content, 0, async () => page(1, 9)))[0], 9);
});

test('contents do not see each other, and a forgotten one is loaded again even if it was loading', async () => {
  const cache = new RenderedPages();
  const [one, ten] = [cache.newContent(), cache.newContent()];
  let finish: (bytes: Uint8Array) => void = () => {};
  const stale = cache.get(
    one,
    0,
    () =>
      new Promise<Uint8Array>((resolve) => {
        finish = resolve;
      }),
  );
  await cache.get(one, 1, async () => page(1, 1));
  await cache.get(ten, 1, async () => page(1, 2));
  cache.forget(one);
  finish(page(1, 1));
  await stale;
  assert.equal(cache.peek(one, 0), undefined);
  assert.equal(cache.peek(one, 1), undefined);
  assert.equal(cache.peek(ten, 1)?.[0], 2);
});

test('reads across pages are put together from each page once', async () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, index) => index);
  const loads: number[] = [];
  const read = (offset: number, end: number) =>
    readPaged(offset, end, equalPages(32, bytes.length), async (span) => {
      loads.push(span.index);
      return bytes.subarray(span.start, span.end);
    });
  for (const [offset, end] of [
    [0, 100],
    [31, 33],
    [32, 64],
    [99, 100],
    [50, 50],
  ] as const) {
    assert.deepEqual(Uint8Array.from(await read(offset, end)), bytes.slice(offset, end));
  }
  assert.deepEqual(loads, [0, 1, 2, 3, 0, 1, 1, 3]);
});
