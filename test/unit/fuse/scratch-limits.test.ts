/** What a user may make in memory, and that nothing of it stays when it is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandTranscript } from '../../../src/fuse/command-transcript.ts';
import { Dispatcher } from '../../../src/fuse/dispatcher.ts';
import { ERRNO } from '../../../src/fuse/protocol/errno.ts';
import { makeSupplies, Supply } from '../../../src/fuse/supplies.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import { memoryScratch } from './memory-image.ts';
import { message } from './message.ts';
import { refusedWith, writableTree } from './writable-tree.ts';

const O_CREAT_WRONLY = 0o101;

function scene(names: number) {
  const { tree, room } = writableTree();
  const supplies = { ...makeSupplies(undefined, 1024), scratchNames: new Supply('names', 2 * names) };
  const filesystem = new TreeFilesystem(tree, {
    readOnly: false,
    uid: 7,
    gid: 8,
    makeScratch: () => memoryScratch([]),
    supplies,
  });
  const context = { uid: 7, gid: 8, pid: 1, signal: new AbortController().signal };
  const create = async (name: string, parent = room.nodeid) => {
    const { entry, opened } = await filesystem.create(parent, name, 0o644, O_CREAT_WRONLY, context);
    const { nodeid } = entry.attr;
    filesystem.remember(nodeid);
    return { nodeid, close: () => filesystem.release(nodeid, opened.handle) };
  };
  const mkdir = (name: string, parent = room.nodeid) => {
    const { nodeid } = filesystem.mkdir(parent, name, 0o755, context).attr;
    filesystem.remember(nodeid);
    return nodeid;
  };
  return { filesystem, room, context, supplies, create, mkdir };
}

test('scratch files and folders beyond the bound are ENOSPC, and what is removed makes room', async () => {
  const { filesystem, room, context, supplies, create, mkdir } = scene(10);
  for (let count = 0; count < 5; count++) await (await create(`f${count}`)).close();
  for (let count = 0; count < 5; count++) mkdir(`d${count}`);
  await assert.rejects(create('more'), refusedWith('ENOSPC'));
  assert.throws(() => mkdir('more'), refusedWith('ENOSPC'));
  filesystem.unlink(room.nodeid, 'f0', context);
  mkdir('more');
  assert.equal(supplies.scratchNames.taken, 10);
  // Over another folder, and over another file.
  await filesystem.rename(room.nodeid, 'd0', room.nodeid, 'd1', 0, context);
  await filesystem.rename(room.nodeid, 'f1', room.nodeid, 'f2', 0, context);
  await (await create('again')).close();
});

test('what is gone leaves no number behind, when the kernel has forgotten it and when it never knew it', async () => {
  const { filesystem, room, context, supplies, create, mkdir } = scene(10);
  for (let count = 0; count < 1000; count++) {
    const file = await create('f');
    filesystem.unlink(room.nodeid, 'f', context);
    assert.equal(supplies.scratchNames.taken, 1, 'an open file is there');
    await file.close();
    filesystem.forget(file.nodeid);
    const folder = mkdir('d');
    filesystem.rmdir(room.nodeid, 'd', context);
    await filesystem.getattr(folder, context);
    filesystem.forget(folder);
    assert.throws(() => filesystem.getattr(folder, context), refusedWith('ESTALE'));
    filesystem.mkdir(room.nodeid, 'unknown', 0o755, context);
    filesystem.rmdir(room.nodeid, 'unknown', context);
  }
  assert.equal(supplies.scratchNames.taken, 0);
});

test('a command is short, and a descriptor of the command file remembers a bounded conversation', async () => {
  const said: string[] = [];
  const content = {
    kind: 'command' as const,
    perform: async (line: string) => {
      said.push(line);
      return 'x'.repeat(600_000);
    },
    sync: async () => undefined,
  };
  const transcript = new CommandTranscript();
  await assert.rejects(transcript.say(content, 0, Buffer.alloc(16 * 1024 + 1, 'a')), refusedWith('EFBIG'));
  await assert.rejects(transcript.say(content, 2 ** 40, Buffer.from('far\n')), refusedWith('EFBIG'));
  assert.deepEqual(said, []);
  await transcript.say(content, 0, Buffer.from('one\n'));
  await transcript.say(content, transcript.size, Buffer.from('two\n'));
  await assert.rejects(
    transcript.say(content, transcript.size, Buffer.from('three\n')),
    refusedWith('EFBIG'),
  );
  assert.deepEqual(said, ['one', 'two']);
});

test('writes that wait are bounded for each user', async () => {
  const { filesystem } = writableTree();
  const waiting: (() => void)[] = [];
  filesystem.write = () =>
    new Promise((resolve) => {
      waiting.push(() => resolve(1000));
    });
  const { dispatcher, replies } = withPendingBytes(filesystem, new Supply('bytes', 10_000));
  const write = (unique: bigint, uid: number) => {
    const body = Buffer.alloc(40 + 1000);
    body.writeUInt32LE(1000, 16);
    dispatcher.handle(message('WRITE', { nodeid: 2, unique, uid, body }));
  };
  for (let unique = 1n; unique <= 5n; unique++) write(unique, 7);
  assert.equal(waiting.length, 4);
  assert.deepEqual(replies.map(errorOf), [-ERRNO.ENOSPC]);
  write(6n, 8);
  assert.equal(waiting.length, 5, 'another user is not held up');
  for (const finish of waiting) finish();
  while (replies.length < 6) await new Promise(setImmediate);
  write(7n, 7);
  assert.equal(waiting.length, 6, 'what was answered makes room');
});

const errorOf = (reply: Buffer) => reply.readInt32LE(4);

function withPendingBytes(filesystem: TreeFilesystem, pendingBytes: Supply) {
  const replies: Buffer[] = [];
  const dispatcher = new Dispatcher(filesystem, {
    reply: (reply) => void replies.push(reply),
    publish: () => undefined,
    withdraw: () => undefined,
    initialized: () => undefined,
    log: () => undefined,
    limits: { maxWriteBytes: 1 << 20, maxPages: 256, maxReadaheadBytes: 4 << 20, maxBackground: 64 },
    pendingBytes,
  });
  return { dispatcher, replies };
}
