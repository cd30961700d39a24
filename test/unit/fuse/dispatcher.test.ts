import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { MlfsError } from '../../../src/errors.ts';
import type { Filesystem } from '../../../src/fuse/filesystem.ts';
import { ERRNO } from '../../../src/fuse/protocol/errno.ts';
import { OPCODES, type OpcodeName } from '../../../src/fuse/protocol/opcodes.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import { desk } from './desk.ts';
import { bodyOf, errnoOf, initBody, message, nameBody, openBody, readBody } from './message.ts';
import { sampleTree, WEIGHT } from './sample-tree.ts';

function interruptBody(unique: bigint): Buffer {
  const body = Buffer.alloc(8);
  body.writeBigUInt64LE(unique);
  return body;
}

function forgetBody(count: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(count);
  return body;
}

/** The tree with one operation replaced. */
function filesystemWith(overrides: Partial<Filesystem>): Filesystem {
  const tree = new TreeFilesystem(sampleTree().tree, { readOnly: true });
  return new Proxy(tree, {
    get: (target, name) => {
      const value = Reflect.get(overrides, name) ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('a kernel older than 7.31 is refused with its version in the log', () => {
  const { ask, events, logLines, dispatcher } = desk();
  assert.equal(errnoOf(ask('INIT', { body: initBody(30) })), ERRNO.EPROTO);
  assert.deepEqual(events, ['reply']);
  assert.equal(dispatcher.counters().request_errors_total, 1);
  assert.match(logLines.join(), /7\.30.*7\.31/);
});

test('a kernel with a larger major version is asked to come down', () => {
  const { ask, events } = desk();
  const body = bodyOf(ask('INIT', { body: initBody(1, 8) }));
  assert.equal(body.readUInt32LE(0), 7);
  assert.deepEqual(events, ['reply'], 'not initialized yet');
});

test('a newer minor version comes down to ours and an older one stays', () => {
  const { ask, events } = desk();
  assert.equal(bodyOf(ask('INIT', { body: initBody(99) })).readUInt32LE(4), 45);
  assert.equal(bodyOf(ask('INIT', { body: initBody(31) })).readUInt32LE(4), 31);
  assert.deepEqual(events, ['reply', 'initialized 45', 'reply', 'initialized 31']);
});

test('no flag is claimed that the kernel does not offer', () => {
  const { ask } = desk();
  const asyncReadOnly = 1;
  const body = bodyOf(ask('INIT', { body: initBody(45, 7, asyncReadOnly, 0xffff_ffff) }));
  assert.equal(body.readUInt32LE(12), asyncReadOnly);
  assert.equal(body.readUInt32LE(32), 0, 'flags2 means nothing without INIT_EXT');
});

test('OPENDIR is ENOSYS where the kernel opens directories by itself, and succeeds elsewhere', () => {
  const { ask, nodeid } = desk();
  const open = { nodeid: nodeid.model, body: openBody(0) };
  ask('INIT', { body: initBody() });
  assert.equal(errnoOf(ask('OPENDIR', open)), ERRNO.ENOSYS);
  ask('INIT', { body: initBody(45, 7, 0, 0) });
  assert.equal(errnoOf(ask('OPENDIR', open)), 0);
});

test('a missing name is an entry with nodeid 0 that may be kept', () => {
  const { ask, nodeid } = desk();
  const reply = ask('LOOKUP', { nodeid: nodeid.model, body: nameBody('.git') });
  assert.equal(errnoOf(reply), 0);
  assert.equal(bodyOf(reply).readBigUInt64LE(0), 0n);
  assert.equal(bodyOf(reply).readBigUInt64LE(16), 86_400n);
});

test('a name that is not UTF-8 is not there and one over 255 bytes is ENAMETOOLONG', () => {
  const { ask } = desk();
  const absent = ask('LOOKUP', { body: nameBody(Buffer.of(0xf0, 0x9f, 0x98)) });
  assert.equal(bodyOf(absent).readBigUInt64LE(0), 0n);
  assert.equal(errnoOf(ask('LOOKUP', { body: nameBody('x'.repeat(256)) })), ERRNO.ENAMETOOLONG);
  assert.equal(errnoOf(ask('LOOKUP', { body: nameBody('x'.repeat(255)) })), 0);
});

test('extents are published before the reply to OPEN, once, and withdrawn with the last reference', () => {
  const { ask, dispatcher, events, nodeid } = desk();
  const open = { nodeid: nodeid.weight, body: openBody(0) };
  ask('LOOKUP', { nodeid: nodeid.model, body: nameBody('weight.bin') });
  ask('LOOKUP', { nodeid: nodeid.model, body: nameBody('tied.bin') });
  events.length = 0;
  ask('OPEN', open);
  ask('OPEN', open);
  assert.deepEqual(events, [`publish ${nodeid.weight}`, 'reply', 'reply']);
  dispatcher.handle(message('FORGET', { nodeid: nodeid.weight, body: forgetBody(1) }));
  assert.equal(events.length, 3, 'one reference is left');
  dispatcher.handle(message('FORGET', { nodeid: nodeid.weight, body: forgetBody(1) }));
  assert.deepEqual(events.slice(3), [`withdraw ${nodeid.weight}`]);
  ask('OPEN', open);
  assert.deepEqual(events.slice(4), [`publish ${nodeid.weight}`, 'reply']);
});

test('READDIRPLUS gives a reference for each entry that fitted and BATCH_FORGET takes them back', () => {
  const { ask, dispatcher, nodeid } = desk();
  const twoEntries = 2 * (128 + 32) + 128 + 24 + 16;
  ask('READDIRPLUS', { nodeid: nodeid.model, body: readBody(0n, twoEntries) });
  assert.equal(dispatcher.counters().inodes_known, 1, 'of five entries only . and .. and weight.bin fit');
  ask('READDIRPLUS', { nodeid: nodeid.model, body: readBody(3n, 4096) });
  assert.equal(dispatcher.counters().inodes_known, 2);
  const body = Buffer.alloc(8 + 32);
  body.writeUInt32LE(2, 0);
  body.writeUInt32LE(nodeid.weight, 8);
  body.writeUInt32LE(2, 16);
  body.writeUInt32LE(nodeid.gather, 24);
  body.writeUInt32LE(1, 32);
  dispatcher.handle(message('BATCH_FORGET', { body }));
  assert.equal(dispatcher.counters().inodes_known, 0);
});

test('a READ beyond 2^53 is a read past the end', async () => {
  const { ask, nodeid } = desk();
  const reply = ask('READ', { nodeid: nodeid.weight, body: readBody(2n ** 62n, 4096) });
  assert.equal(errnoOf(reply), 0);
  assert.equal(bodyOf(reply).length, 0);
});

test('a READ that straddles extents and the end is cut at the end', async () => {
  const { askLater, nodeid } = desk();
  const reply = await askLater('READ', { nodeid: nodeid.weight, body: readBody(50n, 4096) });
  assert.deepEqual(bodyOf(reply), WEIGHT.subarray(50));
});

test('a READ may ask for no more than was agreed, whatever it says', async () => {
  let asked = 0;
  const filesystem = filesystemWith({
    read: (_nodeid, _handle, _offset, length) => {
      asked = length;
      return new Uint8Array(0);
    },
  });
  desk({ filesystem }).ask('READ', { nodeid: 3, body: readBody(0n, 0xffff_ffff) });
  assert.equal(asked, 256 * 4096);
});

test('INTERRUPT aborts a pending read, which answers EINTR', async () => {
  const { dispatcher, gate, nodeid, replies } = desk();
  gate.wait = true;
  dispatcher.handle(message('READ', { nodeid: nodeid.gather, unique: 10n, body: readBody(0n, 10) }));
  assert.equal(dispatcher.counters().requests_pending, 1);
  dispatcher.handle(message('INTERRUPT', { unique: 11n, body: interruptBody(10n) }));
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  assert.equal(replies.length, 1, 'INTERRUPT itself has no reply');
  assert.equal(replies[0]?.readBigUInt64LE(8), 10n);
  assert.equal(errnoOf(replies[0] as Buffer), ERRNO.EINTR);
  for (const release of gate.waiting) release();
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  assert.equal(replies.length, 1, 'the late outcome is not sent');
  assert.equal(dispatcher.counters().requests_pending, 0);
});

test('INTERRUPT of an unknown request waits, then answers EAGAIN', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { dispatcher, replies } = desk();
  dispatcher.handle(message('INTERRUPT', { unique: 11n, body: interruptBody(10n) }));
  assert.equal(replies.length, 0);
  t.mock.timers.tick(10);
  assert.equal(errnoOf(replies[0] as Buffer), ERRNO.EAGAIN);
  assert.equal(replies[0]?.readBigUInt64LE(8), 11n);
});

test('INTERRUPT that overtook its request reaches it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { dispatcher, gate, nodeid, replies } = desk();
  gate.wait = true;
  dispatcher.handle(message('INTERRUPT', { unique: 11n, body: interruptBody(10n) }));
  dispatcher.handle(message('OPEN', { nodeid: nodeid.status, unique: 10n, body: openBody(0) }));
  t.mock.timers.tick(10);
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  assert.equal(replies.length, 1);
  assert.equal(replies[0]?.readBigUInt64LE(8), 10n);
  assert.equal(errnoOf(replies[0] as Buffer), ERRNO.EINTR);
});

test('after the end nothing is sent and what was waiting is interrupted', async () => {
  const { dispatcher, gate, nodeid, replies } = desk();
  gate.wait = true;
  dispatcher.handle(message('READ', { nodeid: nodeid.gather, body: readBody(0n, 10) }));
  dispatcher.end();
  for (let turn = 0; turn < 5; turn++) await setImmediate();
  assert.equal(replies.length, 0);
  assert.equal(dispatcher.counters().requests_pending, 0);
});

test('an MlfsError becomes its errno and, unless it is a plain refusal, a log line', async () => {
  const filesystem = filesystemWith({
    read: () => Promise.reject(new MlfsError('ERR_MLFS_STALE', 'model.pt: was replaced')),
  });
  const { askLater, logLines } = desk({ filesystem });
  assert.equal(errnoOf(await askLater('READ', { nodeid: 3, body: readBody(0n, 1) })), ERRNO.ESTALE);
  assert.deepEqual(logLines, ['READ: model.pt: was replaced']);
});

test('the unexpected is EIO and a log line, thrown or rejected', async () => {
  const boom = new TypeError('boom');
  for (const read of [
    () => Promise.reject(boom),
    () => {
      throw boom;
    },
  ]) {
    const { askLater, logLines } = desk({ filesystem: filesystemWith({ read }) });
    assert.equal(errnoOf(await askLater('READ', { nodeid: 3, body: readBody(0n, 1) })), ERRNO.EIO);
    assert.match(logLines.join(), /READ: TypeError: boom/);
  }
});

test('xattrs: size 0 asks for the size, too little room is ERANGE, a stranger is ENODATA', () => {
  const { ask, nodeid } = desk();
  const get = (name: string, room: number) =>
    ask('GETXATTR', {
      nodeid: nodeid.weight,
      body: Buffer.concat([Buffer.from(Uint32Array.of(room, 0).buffer), nameBody(name)]),
    });
  const list = (target: number, room: number) =>
    ask('LISTXATTR', { nodeid: target, body: Buffer.from(Uint32Array.of(room, 0).buffer) });
  assert.equal(bodyOf(get('user.mlfs.dtype', 0)).readUInt32LE(0), 5);
  assert.equal(bodyOf(get('user.mlfs.dtype', 5)).toString(), 'uint8');
  assert.equal(errnoOf(get('user.mlfs.dtype', 4)), ERRNO.ERANGE);
  assert.equal(errnoOf(get('user.stranger', 0)), ERRNO.ENODATA);
  assert.equal(errnoOf(get('security.capability', 0)), ERRNO.EOPNOTSUPP);
  assert.equal(bodyOf(list(nodeid.weight, 0)).readUInt32LE(0), 16);
  assert.equal(bodyOf(list(nodeid.weight, 100)).toString(), 'user.mlfs.dtype\0');
  assert.equal(errnoOf(list(nodeid.weight, 15)), ERRNO.ERANGE);
  assert.equal(bodyOf(list(nodeid.gather, 0)).readUInt32LE(0), 0);
  assert.equal(bodyOf(list(nodeid.gather, 10)).length, 0);
});

test('what would change the tree is EROFS on a read-only mount, and what is not there is ENOSYS', async () => {
  const { ask, askLater } = desk({ readOnly: true });
  const named = (structBytes: number) =>
    Buffer.concat([Buffer.alloc(structBytes), nameBody('x'), nameBody('y')]);
  const changes = {
    MKDIR: named(8),
    MKNOD: named(16),
    UNLINK: named(0),
    RMDIR: named(0),
    RENAME: named(8),
    RENAME2: named(16),
    LINK: named(8),
    SYMLINK: named(0),
    TMPFILE: named(16),
    SETXATTR: named(16),
    REMOVEXATTR: named(0),
    FALLOCATE: Buffer.alloc(32),
  } as const;
  for (const [opcode, body] of Object.entries(changes)) {
    assert.equal(errnoOf(ask(opcode as OpcodeName, { body })), ERRNO.EROFS, opcode);
  }
  for (const [opcode, body] of Object.entries({
    CREATE: named(16),
    SETATTR: Buffer.alloc(88),
    WRITE: Buffer.alloc(40),
  })) {
    assert.equal(errnoOf(await askLater(opcode as OpcodeName, { body })), ERRNO.EROFS, opcode);
  }
  for (const opcode of ['IOCTL', 'POLL', 'COPY_FILE_RANGE', 'BMAP', 'SETLK'] as const) {
    assert.equal(errnoOf(ask(opcode)), ERRNO.ENOSYS, opcode);
  }
  for (const opcode of ['FSYNCDIR', 'SYNCFS'] as const) assert.equal(errnoOf(ask(opcode)), 0, opcode);
  for (const unknown of [0, 7, 19, 99, 4096, 0xffff_ffff]) assert.equal(errnoOf(ask(unknown)), ERRNO.ENOSYS);
});

test('DESTROY is answered', () => {
  const { ask, events } = desk();
  assert.equal(errnoOf(ask('DESTROY')), 0);
  assert.deepEqual(events, ['reply']);
});

test('a message that is shorter than a header is logged and dropped, one that lies about its length is EINVAL', () => {
  const { ask, dispatcher, replies, logLines } = desk();
  dispatcher.handle(Buffer.alloc(39));
  assert.equal(replies.length, 0);
  assert.match(logLines.join(), /39 bytes/);
  const lying = message('STATFS');
  lying.writeUInt32LE(4000, 0);
  dispatcher.handle(lying);
  assert.equal(errnoOf(replies[0] as Buffer), ERRNO.EINVAL);
  assert.equal(errnoOf(ask('STATFS')), 0);
});

test('requests are counted by opcode', () => {
  const { ask, dispatcher } = desk();
  ask('STATFS');
  ask('STATFS');
  ask(OPCODES.MKDIR, { body: nameBody('x') });
  ask(77);
  const counters = dispatcher.counters();
  assert.equal(counters.requests_statfs_total, 2);
  assert.equal(counters.requests_mkdir_total, 1);
  assert.equal(counters.requests_unknown_total, 1);
  assert.equal(counters.request_errors_total, 2);
});
