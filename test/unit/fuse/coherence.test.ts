/** Changes that concern many files: they are told in parts, and nobody is told that a change is done before the last part. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeChanges } from '../../../src/fuse/attribute-changes.ts';
import { Coherence } from '../../../src/fuse/coherence.ts';
import { Invalidations } from '../../../src/fuse/invalidation.ts';
import type { FileInode } from '../../../src/inode.ts';
import { PlainFilesByPlace } from '../../../src/tree/plain-files.ts';
import { memoryImage } from './memory-image.ts';

const FILES = 5000;
/** Inodes that one turn of the event loop may tell of: 50 ms at a tenth of a millisecond each. */
const MOST_IN_A_TURN = 500;

function scene() {
  const { image } = memoryImage(FILES);
  const numbers = Array.from({ length: FILES }, (_, index) => index);
  const plainFiles = new PlainFilesByPlace(image, {
    starts: numbers,
    ends: numbers.map((start) => start + 1),
    nodeids: numbers.map((index) => index + 2),
  });
  const attributes = new AttributeChanges();
  const invalidations = new Invalidations(assert.fail);
  const coherence = new Coherence({
    invalidations,
    attributes,
    plainFiles: () => plainFiles,
    made: () => undefined,
    plainMtimeMs: () => 0,
    takeNews: () => undefined,
    isReferenced: () => true,
    onRemembered: () => undefined,
  });
  /** By turn of the event loop: how many inodes were touched or told of. */
  const turns: { touched: number; told: number }[] = [{ touched: 0, told: 0 }];
  const present = () => turns[turns.length - 1] as { touched: number; told: number };
  attributes.onChange = () => present().touched++;
  invalidations.connect({
    invalidate: async (sent) => {
      present().told += sent.length;
    },
  });
  let counting = true;
  const nextTurn = () => {
    turns.push({ touched: 0, told: 0 });
    if (counting) setImmediate(nextTurn);
  };
  setImmediate(nextTurn);
  const told = () => turns.reduce((sum, { told }) => sum + told, 0);
  const end = () => {
    counting = false;
  };
  const gradient = { kind: 'file', nodeid: FILES + 2, mtimeMs: 0, content: {} } as unknown as FileInode;
  return { image, attributes, coherence, turns, told, end, gradient };
}

function checkTurns(turns: ReturnType<typeof scene>['turns']): void {
  for (const { touched, told } of turns) assert.ok(touched <= MOST_IN_A_TURN && told <= MOST_IN_A_TURN);
}

test('a discard of everything is told in bounded parts, and is settled after the last', async () => {
  const { image, coherence, turns, told, end, gradient } = scene();
  await coherence.write(gradient, image, async () => undefined);
  image.changed({ ranges: [{ start: 0, end: FILES }], chunks: new Set() });
  assert.equal(told(), 0, 'other listeners of the image may not have heard of it');
  await coherence.settled();
  end();
  assert.equal(told(), FILES);
  checkTurns(turns);
});

test('a replacement that concerns many files is told in bounded parts before it is acknowledged', async () => {
  const { image, coherence, turns, told, end, gradient } = scene();
  await coherence.replace(gradient, image, (update) => update.write(0, Buffer.alloc(FILES, 1)));
  end();
  assert.equal(told(), FILES);
  checkTurns(turns);
});

test('of two discards one after the other, both are settled', async () => {
  const { image, coherence, told, end, gradient } = scene();
  await coherence.write(gradient, image, async () => undefined);
  image.changed({ ranges: [{ start: 0, end: FILES }], chunks: new Set() });
  image.changed({ ranges: [{ start: 0, end: 1 }], chunks: new Set() });
  await coherence.settled();
  end();
  assert.equal(told(), FILES + 1);
});

test('a file that is not alone yet is written with every plain file beside it in mind', () => {
  const { image, coherence, end } = scene();
  end();
  const extent = { kind: 'image', image, offset: 10, length: 20 } as const;
  const document = {
    kind: 'file',
    nodeid: FILES + 3,
    mtimeMs: 0,
    content: { kind: 'extents', size: 5, extents: [{ kind: 'image', image, offset: 15, length: 5 }] },
  } as unknown as FileInode;
  coherence.remember(document);
  assert.equal(coherence.isAlone(FILES + 4, extent), false);
  const { others } = coherence.writesInPlace(FILES + 4, extent);
  assert.deepEqual(
    others,
    Array.from({ length: 20 }, (_, index) => index + 12),
  );
  coherence.forget(document);
  assert.equal(coherence.isAlone(FILES + 4, extent), true);
});

test('a file beside more plain files than are looked at is never alone', () => {
  const { image, coherence, end } = scene();
  end();
  assert.equal(coherence.isAlone(FILES + 4, { kind: 'image', image, offset: 0, length: 64 }), true);
  assert.equal(coherence.isAlone(FILES + 4, { kind: 'image', image, offset: 0, length: 65 }), false);
});

test('a discard that fails in a later part fails for who waits for it, and the next one is settled', async () => {
  const { image, attributes, coherence, end, gradient } = scene();
  await coherence.write(gradient, image, async () => undefined);
  const count = attributes.onChange;
  let left = 300;
  attributes.onChange = (nodeid) => {
    if (left-- === 0) throw new Error('no attributes');
    count(nodeid);
  };
  image.changed({ ranges: [{ start: 0, end: FILES }], chunks: new Set() });
  // Until after the parts nobody waits.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(coherence.settled(), /no attributes/);
  image.changed({ ranges: [{ start: 0, end: FILES }], chunks: new Set() });
  await coherence.settled();
  end();
});
