import assert from 'node:assert/strict';
import { test } from 'node:test';
import { desk } from '../desk.ts';
import { bodyOf, errnoOf, initBody, message, nameBody, openBody, readBody } from '../message.ts';
import { MTIME_MS, WEIGHT } from '../sample-tree.ts';
import { OFFSET, SIZE } from './linux-layout.ts';

const DAY_SECONDS = 86_400n;

function assertAttr(
  bytes: Buffer,
  at: number,
  expected: { nodeid: number; nlink: number; mode: number },
): void {
  assert.equal(bytes.readBigUInt64LE(at), BigInt(expected.nodeid), 'ino');
  assert.equal(bytes.readBigUInt64LE(at + OFFSET['fuse_attr.size']), BigInt(WEIGHT.length));
  assert.equal(bytes.readBigUInt64LE(at + OFFSET['fuse_attr.blocks']), 1n);
  assert.equal(bytes.readBigUInt64LE(at + OFFSET['fuse_attr.mtime']), BigInt(Math.floor(MTIME_MS / 1000)));
  assert.equal(bytes.readUInt32LE(at + OFFSET['fuse_attr.mtimensec']), 123_000_000);
  assert.equal(bytes.readUInt32LE(at + OFFSET['fuse_attr.mode']), expected.mode);
  assert.equal(bytes.readUInt32LE(at + OFFSET['fuse_attr.nlink']), expected.nlink);
  assert.equal(bytes.readUInt32LE(at + OFFSET['fuse_attr.uid']), 7);
  assert.equal(bytes.readUInt32LE(at + OFFSET['fuse_attr.gid']), 8);
  assert.equal(bytes.readUInt32LE(at + OFFSET['fuse_attr.blksize']), 4096);
}

test('LOOKUP answers a fuse_entry_out with a day of validity', () => {
  const { ask, nodeid } = desk();
  const reply = ask('LOOKUP', {
    nodeid: nodeid.model,
    unique: 0xfedc_ba98_7654_3210n,
    body: nameBody('tied.bin'),
  });
  assert.equal(reply.length, SIZE.fuse_out_header + SIZE.fuse_entry_out);
  assert.equal(reply.readUInt32LE(0), reply.length);
  assert.equal(errnoOf(reply), 0);
  assert.equal(reply.readBigUInt64LE(OFFSET['fuse_out_header.unique']), 0xfedc_ba98_7654_3210n);
  const body = bodyOf(reply);
  assert.equal(body.readBigUInt64LE(0), BigInt(nodeid.weight));
  assert.equal(body.readBigUInt64LE(OFFSET['fuse_entry_out.entry_valid']), DAY_SECONDS);
  assert.equal(body.readBigUInt64LE(OFFSET['fuse_entry_out.attr_valid']), DAY_SECONDS);
  assert.equal(body.readUInt32LE(OFFSET['fuse_entry_out.entry_valid_nsec']), 0);
  assertAttr(body, OFFSET['fuse_entry_out.attr'], { nodeid: nodeid.weight, nlink: 2, mode: 0o100444 });
});

test('GETATTR answers a fuse_attr_out', () => {
  const { ask, nodeid } = desk();
  const body = bodyOf(ask('GETATTR', { nodeid: nodeid.weight, body: Buffer.alloc(16) }));
  assert.equal(body.length, SIZE.fuse_attr_out);
  assert.equal(body.readBigUInt64LE(0), DAY_SECONDS);
  assertAttr(body, OFFSET['fuse_attr_out.attr'], { nodeid: nodeid.weight, nlink: 2, mode: 0o100444 });
});

test('STATX answers a struct statx without a birth time', () => {
  const { ask, nodeid } = desk();
  const body = bodyOf(ask('STATX', { nodeid: nodeid.weight, body: Buffer.alloc(24) }));
  const at = 32;
  assert.equal(body.length, at + SIZE.statx);
  assert.equal(body.readBigUInt64LE(0), DAY_SECONDS);
  assert.equal(body.readUInt32LE(at), 0x7ff);
  assert.equal(body.readUInt32LE(at + OFFSET['statx.stx_blksize']), 4096);
  assert.equal(body.readUInt32LE(at + OFFSET['statx.stx_nlink']), 2);
  assert.equal(body.readUInt32LE(at + OFFSET['statx.stx_uid']), 7);
  assert.equal(body.readUInt32LE(at + OFFSET['statx.stx_gid']), 8);
  assert.equal(body.readUInt16LE(at + OFFSET['statx.stx_mode']), 0o100444);
  assert.equal(body.readBigUInt64LE(at + OFFSET['statx.stx_ino']), BigInt(nodeid.weight));
  assert.equal(body.readBigUInt64LE(at + OFFSET['statx.stx_size']), BigInt(WEIGHT.length));
  assert.equal(body.readBigUInt64LE(at + OFFSET['statx.stx_blocks']), 1n);
  for (const time of ['statx.stx_atime', 'statx.stx_ctime', 'statx.stx_mtime'] as const) {
    assert.equal(body.readBigInt64LE(at + OFFSET[time]), BigInt(Math.floor(MTIME_MS / 1000)));
    assert.equal(body.readUInt32LE(at + OFFSET[time] + 8), 123_000_000);
  }
  assert.equal(body.readBigInt64LE(at + OFFSET['statx.stx_btime']), 0n);
});

test('INIT answers a fuse_init_out', () => {
  const { ask } = desk();
  const body = bodyOf(ask('INIT', { body: initBody() }));
  assert.equal(body.length, SIZE.fuse_init_out);
  assert.equal(body.readUInt32LE(0), 7);
  assert.equal(body.readUInt32LE(4), 45);
  assert.equal(body.readUInt32LE(OFFSET['fuse_init_out.max_readahead']), 131072);
  assert.equal(body.readUInt16LE(OFFSET['fuse_init_out.max_background']), 64);
  assert.equal(body.readUInt16LE(OFFSET['fuse_init_out.congestion_threshold']), 0xffff);
  assert.equal(body.readUInt32LE(OFFSET['fuse_init_out.max_write']), 1 << 20);
  assert.equal(body.readUInt32LE(OFFSET['fuse_init_out.time_gran']), 1);
  assert.equal(body.readUInt16LE(OFFSET['fuse_init_out.max_pages']), 256);
  const flags = body.readUInt32LE(OFFSET['fuse_init_out.flags']);
  const has = (bit: number) => Math.floor(flags / 2 ** bit) % 2 === 1;
  assert.ok([0, 5, 13, 14, 15, 18, 19, 22, 24, 25, 30].every(has), flags.toString(16));
  assert.ok(!has(12), 'AUTO_INVAL_DATA');
  assert.ok(!has(16), 'WRITEBACK_CACHE');
  assert.equal(body.readUInt32LE(OFFSET['fuse_init_out.flags2']), 1 << 4);
});

test('STATFS answers a fuse_kstatfs', () => {
  const { ask, tree } = desk();
  const body = bodyOf(ask('STATFS'));
  assert.equal(body.length, SIZE.fuse_statfs_out);
  assert.equal(body.readBigUInt64LE(0), 1n);
  assert.equal(body.readBigUInt64LE(OFFSET['fuse_statfs_out.st.bfree']), 0n);
  assert.equal(body.readBigUInt64LE(OFFSET['fuse_statfs_out.st.files']), BigInt(tree.inodeCount));
  assert.equal(body.readUInt32LE(OFFSET['fuse_statfs_out.st.bsize']), 4096);
  assert.equal(body.readUInt32LE(OFFSET['fuse_statfs_out.st.frsize']), 4096);
  assert.equal(body.readUInt32LE(OFFSET['fuse_statfs_out.st.namelen']), 255);
});

test('OPEN answers a fuse_open_out', () => {
  const { ask, nodeid } = desk();
  const body = bodyOf(ask('OPEN', { nodeid: nodeid.weight, body: openBody(0) }));
  assert.equal(body.length, SIZE.fuse_open_out);
  assert.equal(body.readUInt32LE(OFFSET['fuse_open_out.open_flags']), (1 << 1) | (1 << 5));
});

test('READDIR answers aligned fuse_dirents', () => {
  const { ask, nodeid } = desk();
  const body = bodyOf(ask('READDIR', { nodeid: nodeid.model, body: readBody(0n, 4096) }));
  const seen: [string, bigint, bigint, number][] = [];
  for (let at = 0; at < body.length; ) {
    const length = body.readUInt32LE(at + OFFSET['fuse_dirent.namelen']);
    seen.push([
      body.toString('utf8', at + OFFSET['fuse_dirent.name'], at + OFFSET['fuse_dirent.name'] + length),
      body.readBigUInt64LE(at),
      body.readBigUInt64LE(at + OFFSET['fuse_dirent.off']),
      body.readUInt32LE(at + OFFSET['fuse_dirent.type']),
    ]);
    at += Math.ceil((SIZE.fuse_dirent + length) / 8) * 8;
  }
  assert.deepEqual(seen, [
    ['.', BigInt(nodeid.model), 1n, 4],
    ['..', 1n, 2n, 4],
    ['weight.bin', BigInt(nodeid.weight), 3n, 8],
    ['tied.bin', BigInt(nodeid.weight), 4n, 8],
    ['gather.bin', BigInt(nodeid.gather), 5n, 8],
  ]);
});

test('READDIRPLUS answers fuse_direntplus, with nodeid 0 for . and ..', () => {
  const { ask, nodeid } = desk();
  const body = bodyOf(ask('READDIRPLUS', { nodeid: nodeid.model, body: readBody(0n, 4096) }));
  const seen: [string, bigint][] = [];
  for (let at = 0; at < body.length; ) {
    const dirent = at + OFFSET['fuse_direntplus.dirent'];
    const length = body.readUInt32LE(dirent + OFFSET['fuse_dirent.namelen']);
    const name = dirent + OFFSET['fuse_dirent.name'];
    seen.push([body.toString('utf8', name, name + length), body.readBigUInt64LE(at)]);
    if (seen.at(-1)?.[0] === 'weight.bin') {
      assertAttr(body, at + OFFSET['fuse_entry_out.attr'], {
        nodeid: nodeid.weight,
        nlink: 2,
        mode: 0o100444,
      });
    }
    at += Math.ceil((SIZE.fuse_direntplus + length) / 8) * 8;
  }
  assert.deepEqual(seen, [
    ['.', 0n],
    ['..', 0n],
    ['weight.bin', BigInt(nodeid.weight)],
    ['tied.bin', BigInt(nodeid.weight)],
    ['gather.bin', BigInt(nodeid.gather)],
  ]);
});

test('every request struct may be exactly as long as the header says and not a byte shorter', () => {
  const structs = [
    ['SETATTR', SIZE.fuse_setattr_in],
    ['OPEN', SIZE.fuse_open_in],
    ['READ', SIZE.fuse_read_in],
    ['WRITE', SIZE.fuse_write_in],
    ['RELEASE', SIZE.fuse_release_in],
    ['FLUSH', SIZE.fuse_flush_in],
    ['FSYNC', SIZE.fuse_fsync_in],
    ['ACCESS', SIZE.fuse_access_in],
    ['LISTXATTR', SIZE.fuse_getxattr_in],
    ['LSEEK', SIZE.fuse_lseek_in],
    ['READDIR', SIZE.fuse_read_in],
    ['READDIRPLUS', SIZE.fuse_read_in],
  ] as const;
  const EINVAL = 22;
  for (const [opcode, size] of structs) {
    const { ask, nodeid, dispatcher, replies } = desk();
    const target = opcode.startsWith('READDIR') ? nodeid.model : nodeid.weight;
    const short = ask(opcode, { nodeid: target, body: new Uint8Array(size - 1) });
    assert.equal(errnoOf(short), EINVAL, `${opcode} one byte short`);
    dispatcher.handle(message(opcode, { nodeid: target, body: new Uint8Array(size) }));
    const whole = replies[1];
    // LSEEK with whence 0 is EINVAL for another reason.
    if (whole !== undefined && opcode !== 'LSEEK') assert.notEqual(errnoOf(whole), EINVAL, opcode);
  }
});
