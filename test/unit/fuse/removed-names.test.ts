import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { InodeTable } from '../../../src/tree/inode-table.ts';
import { O_RDWR, O_TRUNC, O_WRONLY, refusedWith, SIZE, writableTree } from './writable-tree.ts';

const O_EXCL = 0o200;
/** renameat2's RENAME_NOREPLACE. */
const NOREPLACE = 1;
const DEADLINE_MS = 10_000;

/** The tree, with a clock that moves when it is told. */
function setUp(t: TestContext, options: Parameters<typeof writableTree>[0] = {}) {
  let nowMs = 1000;
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(performance, 'now', () => nowMs);
  const made = writableTree(options);
  const { filesystem, room, context } = made;
  const pass = (ms: number) => {
    nowMs += ms;
    t.mock.timers.tick(ms);
  };
  const remove = (name: string, who = context) => filesystem.unlink(room.nodeid, name, who);
  const nodeidOf = (name: string) => {
    const entry = filesystem.lookup(room.nodeid, name);
    return 'attr' in entry ? entry.attr.nodeid : undefined;
  };
  const names = () => [...filesystem.readdir(room.nodeid, 0)].map(({ name }) => name);
  return { ...made, pass, remove, nodeidOf, names };
}

test('a removed file that nothing replaces is back after a while, in its place, and the log says so once', async (t) => {
  const { pass, remove, nodeidOf, names, weight, half, room, invalidated, log, updates } = setUp(t);
  const before = names();
  remove('weight.bin');
  pass(DEADLINE_MS / 2);
  remove('half.bin');
  invalidated.length = 0;
  pass(DEADLINE_MS / 2 - 1);
  assert.deepEqual([nodeidOf('weight.bin'), nodeidOf('half.bin')], [undefined, undefined]);
  assert.deepEqual(
    names(),
    before.filter((name) => name !== 'weight.bin' && name !== 'half.bin'),
  );
  pass(1);
  assert.deepEqual([nodeidOf('weight.bin'), nodeidOf('half.bin')], [weight.nodeid, undefined]);
  assert.deepEqual(invalidated, [room.nodeid]);
  pass(DEADLINE_MS / 2);
  assert.equal(nodeidOf('half.bin'), half.nodeid);
  assert.deepEqual(names(), before);
  assert.equal(updates.changed, 0);
  assert.equal(log.length, 2);
  assert.match(log[0] ?? '', /^\/room\/weight\.bin: was removed and not replaced: it is there again/);
  pass(10 * DEADLINE_MS);
  assert.equal(log.length, 2);
});

test('a removed name is not remembered by the kernel: it may be there again at any time', (t) => {
  const { filesystem, room, remove } = setUp(t);
  remove('weight.bin');
  const gone = filesystem.lookup(room.nodeid, 'weight.bin');
  assert.deepEqual(gone, { absent: true, entryTimeoutMs: 0 });
  const never = filesystem.lookup(room.nodeid, 'never.bin');
  assert.ok('absent' in never && never.entryTimeoutMs > 0);
});

test('a file that was replaced in time does not come back a second time', async (t) => {
  const { filesystem, room, context, pass, remove, nodeidOf, weight, bytes, log } = setUp(t);
  remove('weight.bin');
  const { entry, opened } = await filesystem.create(
    room.nodeid,
    'weight.bin',
    0o644,
    O_WRONLY | O_EXCL,
    context,
  );
  assert.equal(entry.attr.nodeid, weight.nodeid);
  await filesystem.write(weight.nodeid, opened.handle, 0, Buffer.alloc(SIZE, 5));
  assert.notEqual(bytes[0], 5, 'until it is closed the old bytes are there');
  await filesystem.flush(weight.nodeid, opened.handle);
  await filesystem.release(weight.nodeid, opened.handle);
  assert.ok(bytes.subarray(0, SIZE).equals(Buffer.alloc(SIZE, 5)));
  remove('weight.bin');
  pass(DEADLINE_MS - 1);
  assert.equal(nodeidOf('weight.bin'), undefined);
  pass(1);
  assert.equal(nodeidOf('weight.bin'), weight.nodeid);
  assert.equal(log.length, 1);
});

test('who may not write a file may neither remove it nor take up what another removed', async (t) => {
  const { filesystem, room, context, remove, nodeidOf, weight, updates, log } = setUp(t);
  const stranger = { ...context, uid: 1234, gid: 1234 };
  await filesystem.setattr(room.nodeid, { mode: 0o777 }, context);
  assert.throws(() => remove('weight.bin', stranger), refusedWith('EACCES'));
  assert.match(
    log.at(-1) ?? '',
    /^\/room\/weight\.bin: cannot be removed by who may not write it\. .*cp, tar/,
  );
  assert.throws(() => remove('gathered.bin'), refusedWith('EPERM'));
  assert.equal(nodeidOf('weight.bin'), weight.nodeid);
  remove('weight.bin');
  const create = (who: typeof context) =>
    filesystem.create(room.nodeid, 'weight.bin', 0o644, O_RDWR | O_EXCL, who);
  await assert.rejects(create(stranger), refusedWith('EACCES'));
  assert.equal(nodeidOf('weight.bin'), undefined);
  const mine = await filesystem.create(room.nodeid, 'mine', 0o644, O_RDWR, stranger);
  await filesystem.write(mine.entry.attr.nodeid, mine.opened.handle, 0, Buffer.alloc(SIZE, 7));
  for (const flags of [0, NOREPLACE]) {
    await assert.rejects(
      filesystem.rename(room.nodeid, 'mine', room.nodeid, 'weight.bin', flags, stranger),
      refusedWith('EACCES'),
    );
  }
  assert.equal(updates.changed, 0);
  assert.equal(nodeidOf('weight.bin'), undefined, 'whoever removed it can still make it');
  assert.notEqual(nodeidOf('mine'), undefined);
  await create(context);
});

test('who was replacing a file when its name was removed replaces nothing, and its room is given back', async (t) => {
  const { filesystem, tree, room, context, pass, remove, nodeidOf, weight, half, updates, log, closed } =
    setUp(t);
  tree.link(room, 'tied.bin', weight);
  remove('tied.bin');
  const tied = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  await filesystem.write(weight.nodeid, tied.handle, 0, Buffer.alloc(SIZE, 5));
  await filesystem.flush(weight.nodeid, tied.handle);
  assert.equal(updates.changed, 1, 'the file has another name');
  await filesystem.release(weight.nodeid, tied.handle);
  pass(DEADLINE_MS);
  const replacing = await filesystem.open(weight.nodeid, O_WRONLY | O_TRUNC, context);
  const inPlace = await filesystem.open(weight.nodeid, O_RDWR, context);
  const other = await filesystem.open(half.nodeid, O_WRONLY | O_TRUNC, context);
  const fill = (handle: number, value: number) =>
    filesystem.write(weight.nodeid, handle, 0, Buffer.alloc(SIZE, value));
  await fill(replacing.handle, 8);
  remove('weight.bin');
  remove('tied.bin');
  await fill(replacing.handle, 9);
  await filesystem.setattr(weight.nodeid, { size: 0, handle: inPlace.handle }, context);
  await fill(inPlace.handle, 9);
  for (const { handle } of [replacing, inPlace]) {
    await filesystem.flush(weight.nodeid, handle);
    await filesystem.release(weight.nodeid, handle);
  }
  assert.equal(updates.changed, 1);
  assert.equal(closed.length, 3);
  pass(DEADLINE_MS);
  assert.equal(nodeidOf('weight.bin'), weight.nodeid);
  assert.equal(log.length, 3);
  await filesystem.write(half.nodeid, other.handle, 0, Buffer.alloc(SIZE / 2, 3));
  await filesystem.flush(half.nodeid, other.handle);
  assert.equal(updates.changed, 2, 'another file is replaced');
  remove('weight.bin');
  const again = await filesystem.create(room.nodeid, 'weight.bin', 0o644, O_WRONLY, context);
  await fill(again.opened.handle, 4);
  await filesystem.flush(weight.nodeid, again.opened.handle);
  assert.equal(updates.changed, 3, 'and so is this one when it is made again');
});

test('a removed name that is asked for as a folder, or by mknod, is EEXIST and back', (t) => {
  const { filesystem, room, context, remove, nodeidOf, weight } = setUp(t);
  for (const make of ['mkdir', 'mknod'] as const) {
    remove('weight.bin');
    assert.throws(
      () => filesystem[make](room.nodeid, 'weight.bin', 0o100644, context),
      refusedWith('EEXIST'),
    );
    assert.equal(nodeidOf('weight.bin'), weight.nodeid);
  }
});

test('a rename that must find nothing replaces a removed file', async (t) => {
  const { filesystem, room, context, remove, bytes } = setUp(t);
  const { entry, opened } = await filesystem.create(room.nodeid, 'new', 0o644, O_RDWR, context);
  await filesystem.write(entry.attr.nodeid, opened.handle, 0, Buffer.alloc(SIZE, 6));
  remove('weight.bin');
  await filesystem.rename(room.nodeid, 'new', room.nodeid, 'weight.bin', NOREPLACE, context);
  assert.ok(bytes.subarray(0, SIZE).equals(Buffer.alloc(SIZE, 6)));
});

test('what was removed before another tree is shown says nothing afterwards', async (t) => {
  const { filesystem, pass, remove, log } = setUp(t);
  remove('weight.bin');
  await filesystem.replaceTree(new InodeTable(0, 1000));
  pass(DEADLINE_MS);
  assert.deepEqual(log, []);
});

test('however many names come back or are refused, some lines a minute say so', (t) => {
  const { pass, remove, log } = setUp(t);
  for (let count = 0; count < 100; count++) {
    remove('weight.bin');
    pass(DEADLINE_MS);
    assert.throws(() => remove('gathered.bin'), refusedWith('EPERM'));
  }
  const lines = (pattern: RegExp) => log.filter((line) => pattern.test(line)).length;
  assert.equal(lines(/was removed and not replaced/), 16);
  assert.equal(lines(/cannot be written/), 16);
});
