/** What the kernel is told of files that it reads and writes by itself, and of names whose attributes nobody asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dispatcher } from '../../../src/fuse/dispatcher.ts';
import type { AttrReply, DirectoryEntry, OpenReply } from '../../../src/fuse/filesystem.ts';
import { RefusingFilesystem } from '../../../src/fuse/refusing-filesystem.ts';
import { bodyOf, initBody, message, openBody, readBody } from './message.ts';
import { OFFSET, SIZE } from './protocol/linux-layout.ts';

const PASSTHROUGH_FLAG2 = 1 << (37 - 32);
/** offsetof(struct fuse_init_out, max_stack_depth), offsetof(struct fuse_open_out, backing_id). */
const MAX_STACK_DEPTH = 36;
const BACKING_ID = 12;
const FOPEN_DIRECT_IO = 1;
const FOPEN_NOFLUSH = 1 << 5;
const FOPEN_PASSTHROUGH = 1 << 7;
const O_RDWR = 2;

/** Inode 2 is a file on disk, 3 one that is cached anew at each open. */
class Files extends RefusingFilesystem {
  override lookup() {
    return { absent: true as const, entryTimeoutMs: 0 };
  }
  override getattr(nodeid: number): AttrReply {
    return entry(nodeid);
  }
  override open(nodeid: number): OpenReply {
    return { handle: nodeid * 10, caching: 'fresh', ...(nodeid === 2 ? { backing: 7 } : {}) };
  }
  override read(): Uint8Array {
    return new Uint8Array(0);
  }
  override readdir(_nodeid: number, offset: number): Iterable<DirectoryEntry> {
    const all = [
      { name: 'known', offset: 1, entry: entry(2) },
      { name: 'name', offset: 2, entry: entry(3), nameOnly: true },
    ];
    return all.slice(offset);
  }
}

function entry(nodeid: number) {
  const attr = { nodeid, kind: 'file', mode: 0o644, nlink: 1, uid: 7, gid: 8, size: 5, mtimeMs: 0 } as const;
  return { attr, entryTimeoutMs: 0, attrTimeoutMs: 0 };
}

function scene({ passthrough = true, id = 9 } = {}) {
  const replies: Buffer[] = [];
  const closed: number[] = [];
  const dispatcher = new Dispatcher(new Files(), {
    reply: (reply) => replies.push(reply),
    publish: () => undefined,
    withdraw: () => undefined,
    openBacking: () => (id === 0 ? undefined : id),
    closeBacking: (backing) => closed.push(backing),
    initialized: () => undefined,
    log: assert.fail,
    limits: {
      maxWriteBytes: 1 << 20,
      maxPages: 256,
      maxReadaheadBytes: 4 << 20,
      maxBackground: 64,
      passthrough,
    },
  });
  const ask = (...asked: Parameters<typeof message>) => {
    dispatcher.handle(message(...asked));
    return bodyOf(replies.at(-1) ?? assert.fail('no reply'));
  };
  return { ask, closed, dispatcher };
}

test('INIT asks for passthrough over plain file systems, unless it was turned off', () => {
  for (const passthrough of [true, false]) {
    const body = scene({ passthrough }).ask('INIT', { body: initBody() });
    assert.equal((body.readUInt32LE(OFFSET['fuse_init_out.flags2']) & PASSTHROUGH_FLAG2) !== 0, passthrough);
    assert.equal(body.readUInt32LE(MAX_STACK_DEPTH), passthrough ? 1 : 0);
  }
});

test('a kernel without passthrough is not told how deep file systems may lie', () => {
  const body = scene().ask('INIT', { body: initBody(39, 7, 0xffff_ffff, 0) });
  assert.equal(body.readUInt32LE(OFFSET['fuse_init_out.flags2']), 0);
  assert.equal(body.readUInt32LE(MAX_STACK_DEPTH), 0);
});

test('OPEN of a file that the kernel took names it, and nothing is said of caching', () => {
  const { ask, closed, dispatcher } = scene();
  const body = ask('OPEN', { nodeid: 2, body: openBody(O_RDWR) });
  assert.equal(body.length, SIZE.fuse_open_out);
  assert.equal(body.readUInt32LE(OFFSET['fuse_open_out.open_flags']), FOPEN_PASSTHROUGH);
  assert.equal(body.readInt32LE(BACKING_ID), 9);
  const reading = ask('OPEN', { nodeid: 2, body: openBody(0) });
  assert.equal(reading.readUInt32LE(OFFSET['fuse_open_out.open_flags']), FOPEN_PASSTHROUGH | FOPEN_NOFLUSH);
  assert.equal(dispatcher.counters().passthrough_opens_total, 2);
  const release = Buffer.alloc(24);
  release.writeBigUInt64LE(20n, 0);
  ask('RELEASE', { nodeid: 2, body: release });
  assert.deepEqual(closed, [], 'it is open once more');
  ask('RELEASE', { nodeid: 2, body: release });
  assert.deepEqual(closed, [9]);
});

test('OPEN of a file that the kernel did not take, or that has none, drops what was cached of it', () => {
  for (const [nodeid, id] of [[2, 0] as const, [3, 9] as const]) {
    const body = scene({ id }).ask('OPEN', { nodeid, body: openBody(O_RDWR) });
    assert.equal(body.readUInt32LE(OFFSET['fuse_open_out.open_flags']), 0);
    assert.equal(body.readInt32LE(BACKING_ID), 0);
    assert.equal(body.readUInt32LE(OFFSET['fuse_open_out.open_flags']) & FOPEN_DIRECT_IO, 0);
  }
});

test('READDIRPLUS gives no reference for what is a name only', () => {
  const { ask, dispatcher } = scene();
  const body = ask('READDIRPLUS', { nodeid: 1, body: readBody(0n, 4096) });
  assert.equal(body.readBigUInt64LE(0), 2n);
  const second = SIZE.fuse_direntplus + 8;
  assert.equal(body.readBigUInt64LE(second), 0n, 'nodeid');
  const dirent = second + OFFSET['fuse_direntplus.dirent'];
  assert.equal(body.readBigUInt64LE(dirent), 3n, 'd_ino');
  assert.equal(body.toString('utf8', dirent + 24, dirent + 28), 'name');
  assert.equal(dispatcher.counters().inodes_known, 1);
});
