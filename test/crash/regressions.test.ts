/** Failures that crash enumeration and fault injection found, each by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entryOf, withDescriptors } from './archives.ts';
import { CHECKPOINT, mediumWith, openArchive } from './opened-archive.ts';

const { offset } = entryOf(withDescriptors, 'model/data/0');

test('a copy that a crash cut short does not stand in the way of the next one', async () => {
  const medium = mediumWith(withDescriptors);
  const first = await openArchive(medium);
  await first.image.update((update) => update.write(offset, Buffer.from('edit')));
  medium.fate = ({ kind, path }) =>
    kind === 'write' && path.includes('partial') ? 'power loss before' : 'done';
  await assert.rejects(first.edits.commitTo('/disk/new.pt'));
  await first.die();
  medium.restart();
  const second = await openArchive(medium);
  await second.edits.commitTo('/disk/new.pt');
  assert.equal(medium.bytesOf('/disk/new.pt')?.toString('latin1', offset, offset + 4), 'edit');
  await second.close();
});

test('a discard whose segments cannot be removed is a discard, for its readers and after a crash', async () => {
  const medium = mediumWith(withDescriptors);
  const first = await openArchive(medium);
  await first.image.update((update) => update.write(offset, Buffer.from('dropped')));
  await first.edits.flush();
  medium.fate = ({ kind }) => (kind === 'remove' ? { errno: 'EIO' } : 'done');
  await first.edits.discard();
  assert.ok((await first.exported()).equals(withDescriptors.bytes));
  await first.image.update((update) => update.write(offset + 100, Buffer.from('kept')));
  await first.edits.flush();
  const shown = await first.exported();
  medium.cutPower();
  await first.die();
  medium.restart();
  const second = await openArchive(medium);
  assert.ok((await second.exported()).equals(shown));
  await second.edits.commit();
  assert.ok(medium.bytesOf(CHECKPOINT)?.equals(shown));
  await second.close();
});
