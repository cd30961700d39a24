/** Files of bounded-shapes.ts that open: their trees, listings and documents, as a mount makes them, in a process of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertCheap, measured, PEAK_BYTES, tellTheMost } from './measured-checkpoint.ts';

/**
 * Processor time that the main thread takes in one turn of the event loop, garbage collection included: what docs/SEMANTICS.md promises to who asks
 * for something else meanwhile.
 */
const HOLD_MS = 50;
/** Caches and cores that other processes share make the same turn cost more. */
const SLACK = 2;

const MOUNTED = [
  '51,000 names of one tensor, 500 characters long',
  '91,000 tensors',
  '60,000 tensors with a storage each',
  'a dict shared 20 levels deep',
  'a list shared 20 levels deep',
  'a module shared 12 levels deep',
  'a module shared 20 levels deep',
  'a script object shared 12 levels deep',
  'a script object shared 20 levels deep',
  'a list of 400 levels around a long text',
  'a chain of 190 modules around 20,000',
  'a dict of 500,000 numbers 1,000 times',
  '2 million numbers beside a dict',
  'an object of 200,000 attributes and items',
];

for (const name of MOUNTED) {
  test(`mounted, listed and every document read, without holding the event loop: ${name}`, async (t) => {
    const { outcome, mounted, documents, holdMs, heldBy, sizes } = await measured(t, name, 'mount');
    assert.equal(outcome, 'opened');
    assertCheap(mounted, 'mounting');
    assert.ok((documents.peakBytes ?? 0) <= 2 * PEAK_BYTES, `documents: ${documents.peakBytes} bytes`);
    assert.ok(holdMs <= HOLD_MS * SLACK, `${heldBy} held the event loop for ${holdMs} ms`);
    for (const [path, size] of Object.entries(sizes)) {
      assert.equal(typeof size, 'number', `${path}: ${size}`);
      assert.ok(size <= 66 * 1024 * 1024, `${path} has ${size} bytes`);
    }
  });
}

test('names that make millions of folders are refused when the file is mounted', async (t) => {
  const name = '2,000 names of 2,000 parts';
  const { outcome, message, mounted } = await measured(t, name, 'mount');
  assert.equal(outcome, 'ERR_MLFS_LIMIT');
  assert.match(message ?? '', /hostile\.pt: its names make more than 262144 folders/);
  assertCheap(mounted, 'refusing');
});

test('the most expensive of these files is said', tellTheMost);
