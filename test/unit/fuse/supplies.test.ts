import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClaimedScratch } from '../../../src/fuse/claimed-scratch.ts';
import { Claim, claimOpenFile, makeSupplies, Supply } from '../../../src/fuse/supplies.ts';
import { memoryScratch } from './memory-image.ts';

const refused = (errno: string) => (cause: unknown) => (cause as { errno?: string }).errno === errno;

/** As much as there is for a user. */
function takeAll(supply: Supply, uid: number): number {
  let count = 0;
  for (;;) {
    try {
      supply.take(uid, 1, 'ENFILE');
    } catch {
      return count;
    }
    count++;
  }
}

test('a user gets half of what the others leave, so that everybody who comes finds some', () => {
  const supply = new Supply('things', 1000);
  assert.deepEqual(
    [1, 2, 3, 4].map((uid) => takeAll(supply, uid)),
    [500, 250, 125, 62],
  );
  supply.give(1, 500);
  assert.equal(takeAll(supply, 5), Math.floor((1000 - 437) / 2));
  const few = new Supply('things', 10);
  assert.deepEqual([takeAll(few, 1), takeAll(few, 2)], [5, 2]);
  few.give(1, 1);
  assert.equal(takeAll(few, 1), 0, 'what others took meanwhile is not to be had again');
});

test('a refusal has the errno that was asked for and is said once a minute and user', () => {
  const said: string[] = [];
  const supply = new Supply('descriptors', 10, (message) => said.push(message));
  supply.take(7, 5, 'ENFILE');
  for (let count = 0; count < 100; count++)
    assert.throws(() => supply.take(7, 1, 'ENFILE'), refused('ENFILE'));
  assert.throws(() => supply.take(8, 3, 'ENOSPC'), refused('ENOSPC'));
  assert.deepEqual(said, [
    "user 7 may have at most 5 of the server's descriptors now: refused (ENFILE)",
    "user 8 may have at most 2 of the server's descriptors now: refused (ENOSPC)",
  ]);
});

test('a claim gives back what it took, once', () => {
  const supplies = makeSupplies(undefined, 1024);
  const claim = claimOpenFile(supplies, 7, 100);
  claim.take(supplies.descriptors, 1, 'ENFILE');
  assert.deepEqual(
    [supplies.openFiles.taken, supplies.openBytes.taken, supplies.descriptors.taken],
    [1, 100, 1],
  );
  claim.giveBack();
  claim.giveBack();
  assert.deepEqual(
    [supplies.openFiles.taken, supplies.openBytes.taken, supplies.descriptors.taken],
    [0, 0, 0],
  );
  assert.throws(() => claimOpenFile(supplies, 7, 2 ** 40), refused('ENFILE'));
  assert.equal(supplies.openFiles.taken, 0, 'a claim that is refused took nothing');
});

test('the server keeps descriptors for itself, whatever the limit is', () => {
  for (const limit of [256, 1024, 20_000, 1_048_576]) {
    const { descriptors } = makeSupplies(undefined, limit);
    let taken = 0;
    for (let uid = 1; uid < 40; uid++) taken += takeAll(descriptors, uid);
    assert.ok(limit - taken >= Math.min(512, (limit * 3) / 4), `${taken} of ${limit}`);
    assert.ok(taken > limit / 5, `${taken} of ${limit}`);
  }
});

test('a nameless file is on the account of its user from its first byte until it is closed', async () => {
  const supply = new Supply('descriptors', 4);
  const file = () => new ClaimedScratch(memoryScratch([]), supply, 7);
  const [empty, written, grown, late] = [file(), file(), file(), file()];
  await empty.write(0, Buffer.alloc(0));
  await empty.truncate(0);
  assert.equal((await empty.read(0, 10)).byteLength, 0);
  assert.equal(supply.taken, 0);
  await written.write(0, Buffer.from('abc'));
  await written.write(3, Buffer.from('def'));
  await grown.truncate(10);
  assert.equal(supply.taken, 2);
  await assert.rejects(late.write(0, Buffer.from('x')), refused('ENOSPC'));
  await assert.rejects(late.truncate(1), refused('ENOSPC'));
  assert.equal(late.size(), 0);
  await written.close();
  await late.write(0, Buffer.from('x'));
  assert.equal(supply.taken, 2);
  for (const one of [empty, grown, late]) await one.close();
  assert.equal(supply.taken, 0);
});

test('claims of different users do not mix', () => {
  const supply = new Supply('things', 100);
  const one = new Claim(1);
  const other = new Claim(2);
  one.take(supply, 40, 'ENFILE');
  other.take(supply, 20, 'ENFILE');
  one.giveBack();
  assert.equal(supply.taken, 20);
  assert.equal(takeAll(supply, 1), 40);
});

test('a nameless file that was closed takes nothing any more', async () => {
  const supply = new Supply('descriptors', 4);
  const file = new ClaimedScratch(memoryScratch([]), supply, 7);
  await file.close();
  await file.write(0, Buffer.from('x')).catch(() => undefined);
  await file.truncate(9).catch(() => undefined);
  assert.equal(supply.taken, 0);
});
