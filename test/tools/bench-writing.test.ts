/** `npm run bench` over a model of a few MiB: every writing workload runs on every driver. Nothing is said about how fast. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { benchOnce } from '../support/bench-once.ts';
import { requires } from '../support/requires.ts';

const NEEDS = requires('fuse', 'addon', 'fuse-native', 'cc');
/** A record's header of 40 bytes, and a segment's of 24 before the first. */
const EDIT_OVERHEAD = 64;
const WRITERS = [
  'native',
  'c-loop store',
  'c-loop store-splice',
  'c-loop store-threads',
  'mlfs kernel',
  'mlfs fuse-native',
];

test('the bench counts what edits cost in the journal', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'edit');
  for (const key of ['pageFirst', 'pageLater', 'acrossFirst', 'acrossLater', 'floatFirst', 'floatLater']) {
    const overhead = figure('mlfs kernel', key);
    assert.ok(overhead > 0 && overhead <= EDIT_OVERHEAD, `${key}: ${overhead}`);
  }
});

test('the bench writes a tensor over, again, and under its other names', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'write');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    assert.equal(figure(driver, 'againJournal'), 0, driver);
    assert.ok(figure(driver, 'tied') > 0 && figure(driver, 'viewed') > 0, driver);
  }
  for (const driver of WRITERS) {
    for (const key of ['none', 'end', 'often', 'again'])
      assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
  }
});

test('the bench writes 4 KiB at random', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'write-random');
  for (const driver of WRITERS) {
    for (const key of ['none', 'end', 'often']) assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
  }
});

test('the bench writes through mappings', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'write-mapped');
  for (const driver of WRITERS) {
    for (const key of ['none', 'end', 'random']) assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
  }
});

test('the bench writes eight tensors at the same time', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'write-together');
  for (const driver of WRITERS) {
    for (const key of ['none', 'end', 'random', 'often']) {
      assert.ok(figure(driver, key) > 0, `${driver}, ${key}`);
    }
  }
});

test('the bench reads dirty tensors, which the kernel transport does in native code', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'read-dirty');
  assert.ok(figure('mlfs kernel', 'someNative') >= 1, 'one block in a hundred dirty');
  assert.ok(figure('mlfs kernel', 'wholeNative') >= 1, 'all of it dirty');
});

test('the bench commits, and the bytes that are written follow from the edits', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'commit');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    for (const key of ['written', 'writtenTenfold']) {
      const written = figure(driver, key);
      assert.ok(written >= 1 && written < 1.5, `${driver}, ${key}: ${written}`);
    }
  }
});

test('the bench commits a wholly edited tensor, each byte once', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'commit-whole');
  const written = figure('mlfs kernel', 'written');
  assert.ok(written >= 1 && written < 1.1, `${written}`);
  for (const driver of ['native', 'mlfs kernel']) assert.ok(figure(driver, 'time') > 0, driver);
});

test('the bench mounts with the journal of a killed server, and without one', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'replay');
  for (const key of ['mount', 'scattered', 'clean']) assert.ok(figure('mlfs kernel', key) > 0, key);
  const journal = figure('mlfs kernel', 'journal');
  assert.ok(journal >= 8 && journal < 8.1, `${journal} MiB`);
  assert.ok(figure('native', 'mount') > 0);
});

test('the bench takes a training step by rsync, and only what changed is journalled', {
  ...NEEDS,
  ...requires('rsync'),
}, async (t) => {
  const figure = await benchOnce(t, 'rsync');
  for (const driver of ['mlfs kernel', 'mlfs fuse-native']) {
    const journalled = figure(driver, 'journal');
    assert.ok(journalled >= 0.99 && journalled <= 1.1, `${driver}: ${journalled}`);
    const whole = figure(driver, 'wholeJournal');
    assert.ok(whole >= 1 && whole <= 1.01, `${driver}, all bytes: ${whole}`);
  }
  for (const driver of ['native', 'mlfs kernel', 'mlfs fuse-native']) {
    assert.ok(figure(driver, 'time') > 0 && figure(driver, 'whole') > 0, driver);
  }
});

test('the bench watches the memory of a server that is written through', NEEDS, async (t) => {
  const figure = await benchOnce(t, 'write-memory');
  assert.ok(figure('mlfs kernel', 'peak') >= figure('mlfs kernel', 'rest'));
});
