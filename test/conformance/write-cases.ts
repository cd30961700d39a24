import type { Case } from './cases.ts';

/** What any transport must do with a writable mount of the synthetic tree. A case begins by writing zeroes over what it uses. */
export const WRITE_CASES: Readonly<Record<string, Case>> = {
  'a write in place is there for every reader at once, at any alignment': (mount) =>
    mount.python(`
fd = fresh('a.bin')
expected = bytearray(room['size'])
turn = 0
for edge in (0, 1, 4095, 4096, 65536, 131071, 131072, 299000):
    for size in (1, 2, 5, 4095, 4096, 4097, 131073):
        offset = min(edge, room['size'] - size)
        turn += 1
        data = bytes([turn % 250 + 1]) * size
        assert os.pwrite(fd, data, offset) == size
        expected[offset:offset + size] = data
        assert os.pread(fd, size + 8192, max(0, offset - 4096)) == bytes(expected[max(0, offset - 4096):][:size + 8192])
assert whole('a.bin') == bytes(expected)
os.close(fd)
assert whole('a.bin') == bytes(expected)
`),

  'a write larger than a request is taken whole': (mount) =>
    mount.python(`
fd = fresh('a.bin')
data = os.urandom(room['size'])
assert os.pwrite(fd, data, 0) == len(data)
assert whole('a.bin') == data
os.fsync(fd)
os.fdatasync(fd)
`),
};

/** What a transport must do that can tell the kernel what changed. */
export const COHERENT_CASES: Readonly<Record<string, Case>> = {};
