import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeFallocate, decodeWrite } from '../../../../src/fuse/protocol/file-io.ts';
import { encodeName } from '../../../../src/fuse/protocol/name-bytes.ts';
import {
  decodeCreate,
  decodeMkdir,
  decodeMknod,
  decodeRename,
  decodeRename2,
} from '../../../../src/fuse/protocol/names.ts';
import { encodeStore } from '../../../../src/fuse/protocol/notify.ts';
import { Request } from '../../../../src/fuse/protocol/request.ts';
import { message, nameBody } from '../message.ts';

/** A request whose struct is these 32-bit words, followed by names. */
function request(words: readonly number[], ...names: readonly string[]): Request {
  const struct = Buffer.alloc(words.length * 4);
  words.forEach((word, index) => {
    struct.writeUInt32LE(word, index * 4);
  });
  return new Request(
    message('CREATE', { body: Buffer.concat([struct, ...names.map((name) => nameBody(name))]) }),
  );
}

const refusedWith = (name: string) => (error: unknown) => (error as { errno?: string }).errno === name;

// The structs of linux/fuse.h, 7.38, in words of 32 bits.
test('CREATE has flags, mode, umask and open_flags before the name', () => {
  assert.deepEqual(decodeCreate(request([0o102, 0o100644, 0o22, 0], 'größe.bin')), {
    flags: 0o102,
    mode: 0o100644,
    name: 'größe.bin',
  });
});

test('MKNOD has mode, rdev, umask and padding before the name, MKDIR mode and umask', () => {
  assert.deepEqual(decodeMknod(request([0o100600, 7, 0, 0], 'x')), { mode: 0o100600, name: 'x' });
  assert.deepEqual(decodeMkdir(request([0o755, 0o22], 'folder')), { mode: 0o755, name: 'folder' });
});

test('RENAME has the new folder before both names, RENAME2 the flags, too', () => {
  assert.deepEqual(decodeRename(request([9, 1], 'old', 'new')), {
    name: 'old',
    newParent: 2 ** 32 + 9,
    newName: 'new',
    flags: 0,
  });
  assert.deepEqual(decodeRename2(request([9, 0, 1, 0], 'ö', 'neu')), {
    name: 'ö',
    newParent: 9,
    newName: 'neu',
    flags: 1,
  });
});

test('a name may have any bytes, and the one behind it is found', () => {
  const raw = Buffer.of(0x61, 0xff, 0xc3, 0x28, 0xf0, 0x9f, 0x98);
  const body = Buffer.concat([Buffer.alloc(8), raw, Buffer.of(0), Buffer.from('new\0')]);
  const { name, newName } = decodeRename(new Request(message('RENAME', { body })));
  assert.deepEqual(encodeName(name), raw);
  assert.equal(newName, 'new');
});

test('a name that has no end, or is not there, is refused', () => {
  const endless = Buffer.concat([Buffer.alloc(8), Buffer.from('abc')]);
  assert.throws(() => decodeMkdir(new Request(message('MKDIR', { body: endless }))), refusedWith('EINVAL'));
  assert.throws(() => decodeRename(request([9, 0], 'only one')), refusedWith('EINVAL'));
  assert.throws(() => decodeCreate(request([1, 2, 3])), refusedWith('EINVAL'));
});

test('FALLOCATE has handle, offset, length and mode, and no range beyond any file', () => {
  assert.deepEqual(decodeFallocate(request([5, 0, 100, 1, 200, 0, 1, 0])), {
    handle: 5,
    offset: 2 ** 32 + 100,
    length: 200,
    mode: 1,
  });
  const endless = [5, 0, 0, 0x7fff_ffff, 0, 0x7fff_ffff, 0, 0];
  assert.throws(() => decodeFallocate(request(endless)), refusedWith('EFBIG'));
});

test('WRITE must carry as many bytes as it says', () => {
  const words = [7, 0, 50, 0, 4, 0, 0, 0, 0, 0];
  assert.deepEqual(Buffer.from(decodeWrite(request(words, 'abc')).bytes).toString(), 'abc\0');
  assert.throws(() => decodeWrite(request(words, 'a')), refusedWith('EINVAL'));
});

test('NOTIFY_STORE has nodeid, offset, size and padding before the bytes', () => {
  const stored = encodeStore(9, 2 ** 32 + 1, Buffer.from('xyz'));
  assert.equal(stored.readUInt32LE(0), stored.length);
  assert.equal(stored.readInt32LE(4), 4, 'FUSE_NOTIFY_STORE');
  assert.equal(stored.readBigUInt64LE(8), 0n);
  assert.deepEqual(
    [stored.readBigUInt64LE(16), stored.readBigUInt64LE(24), stored.readUInt32LE(32)],
    [9n, 2n ** 32n + 1n, 3],
  );
  assert.equal(stored.toString('latin1', 40), 'xyz');
});
