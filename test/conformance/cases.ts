import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { FACTS } from './facts.ts';
import type { Mounted } from './mounted.ts';

export type Case = (mount: Mounted) => Promise<unknown>;

/** What any transport must do with a read-only mount of the synthetic tree. */
export const READ_CASES: Readonly<Record<string, Case>> = {
  'a file reads the same at every alignment, across pages, requests and extents': (mount) =>
    mount.python(`
edges = [0, 64, 128, 4096, 70128, 70133, 131072, 193589, 1048576, 3145728]
for name, expected in ('start.bin', start), ('mixed.npy', mixed), ('gather.bin', start):
    fd = os.open(path('tensors', name), os.O_RDONLY)
    for edge in edges:
        for delta in (-3, -1, 0, 1, 2):
            for size in (1, 2, 5, 4095, 4096, 4097, 131073):
                offset = edge + delta
                if offset < 0: continue
                got = os.pread(fd, size, offset)
                assert got == expected[offset:offset + size], (name, offset, size, len(got))
`),

  'a file read from start to end is the whole file, whatever the size of the reads': (mount) =>
    mount.python(`
for name, expected in ('start.bin', start), ('mixed.npy', mixed), ('gather.bin', start):
    for size in (4097, 65536, 1048576, 16777216):
        with open(path('tensors', name), 'rb', buffering=0) as file:
            got = b''.join(iter(lambda: file.read(size), b''))
        assert got == expected, (name, size, len(got), len(expected))
`),

  'a read ends at the end of the file and there is nothing behind it': (mount) =>
    mount.python(`
for name, expected in ('start.bin', start), ('mixed.npy', mixed), ('gather.bin', start), ('empty.bin', b''):
    fd = os.open(path('tensors', name), os.O_RDONLY)
    size = len(expected)
    assert os.fstat(fd).st_size == size
    for before in (0, 1, 10, 4096):
        if before > size: continue
        assert os.pread(fd, 1000000, size - before) == expected[size - before:], (name, before)
    for behind in (0, 1, 4096, 2**31, 2**40):
        assert os.pread(fd, 100, size + behind) == b'', (name, behind)
`),

  'offsets above 2 GiB and 4 GiB are the right bytes, and holes are zeroes': (mount) =>
    mount.python(`
fd = os.open(path('tensors', 'whole.pt'), os.O_RDONLY)
assert os.fstat(fd).st_size == facts['imageSize']
for begin, end in facts['patterned']:
    for offset in (begin, begin + 4095, (begin + end) // 2 - 5, (begin + end) // 2, end - 9000):
        assert os.pread(fd, 9000, offset) == pattern(offset, 9000), offset
for hole in (2**30, 2**31 + 2**20, 3 * 2**30 + 1, 5 * 2**30 + 777):
    assert os.pread(fd, 8191, hole) == bytes(8191), hole
`),

  'stat tells kind, size, blocks, owner, time and links': (mount) =>
    mount.python(`
import stat
s = os.stat(path('tensors', 'start.bin'))
assert stat.S_ISREG(s.st_mode) and stat.S_IMODE(s.st_mode) == 0o444, oct(s.st_mode)
assert (s.st_size, s.st_nlink, s.st_uid, s.st_gid) == (len(start), 2, os.getuid(), os.getgid()), s
assert s.st_blocks == -(-len(start) // 512)
assert s.st_mtime_ns // 10**6 == facts['mtimeMs'], s.st_mtime_ns
d = os.stat(path('tensors'))
assert stat.S_ISDIR(d.st_mode) and stat.S_IMODE(d.st_mode) == 0o555, oct(d.st_mode)
assert os.stat(path()).st_ino == 1
`),

  'tied names are one file': (mount) =>
    mount.python(`
one, other = os.stat(path('tensors', 'start.bin')), os.stat(path('tensors', 'tied.bin'))
assert one.st_ino == other.st_ino and one.st_dev == other.st_dev
inodes = {entry.name: entry.inode() for entry in os.scandir(path('tensors'))}
assert inodes['start.bin'] == inodes['tied.bin'] == one.st_ino != inodes['mixed.npy']
assert open(path('tensors', 'tied.bin'), 'rb').read() == start
`),

  'a long listing is complete, in one order, and can be resumed anywhere': (mount) =>
    mount.python(`
import ctypes
names = os.listdir(path('many'))
assert names == ['layer.%d.bin' % i for i in range(facts['manyCount'])], len(names)
libc = ctypes.CDLL(None, use_errno=True)
class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('reclen', ctypes.c_ushort),
                ('type', ctypes.c_ubyte), ('name', ctypes.c_char * 256)]
libc.opendir.restype = ctypes.c_void_p
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.telldir.restype = ctypes.c_long
libc.readdir.argtypes = libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
stream = libc.opendir(path('many').encode())
def following(): return [entry.contents.name for entry in iter(lambda: libc.readdir(stream), None) if entry]
def one(): return libc.readdir(stream).contents.name
def rest():
    found = []
    while True:
        entry = libc.readdir(stream)
        if not entry: return found
        found.append(entry.contents.name)
places = {}
for index in range(3000):
    places[index] = libc.telldir(stream)
    one()
tail = rest()
assert len(tail) == facts['manyCount'] + 2 - 3000, len(tail)
for index in (2999, 1, 1500, 0, 2):
    libc.seekdir(stream, places[index])
    again = rest()
    assert len(again) == facts['manyCount'] + 2 - index, (index, len(again))
    assert again[-len(tail):] == tail
`),

  'find, ls -lR and du walk everything': async (mount) => {
    const rooms = ['tensors', 'sys', 'logs', 'names', 'many'].map((name) => join(mount.path, name));
    const files = FACTS.manyCount + FACTS.names.length + 6 + 1 + 1;
    const find = await mount.run('find', [...rooms, '-type', 'f', '-printf', '.']);
    assert.equal(find.stdout.length, files, find.stderr);
    const sized = await mount.run('find', [join(mount.path, 'many'), '-size', '1', '-printf', '.']);
    assert.equal(sized.stdout.length, FACTS.manyCount, sized.stderr);
    const ls = await mount.run('ls', ['-lR', '--quoting-style=c', ...rooms]);
    assert.equal(ls.code, 0, ls.stderr);
    assert.equal(ls.stdout.match(/^-/gm)?.length, files);
    const du = await mount.run('du', ['--apparent-size', '-bs', join(mount.path, 'tensors', 'start.bin')]);
    assert.equal(Number(du.stdout.split('\t')[0]), FACTS.start.size);
  },

  'names may hold spaces, newlines, quotes, any script and 255 bytes': (mount) =>
    mount.python(`
assert os.listdir(path('names')) == facts['names'], os.listdir(path('names'))
for name in facts['names']:
    assert open(path('names', name), encoding='utf8', newline='').read() == name
`),

  'what is not there is ENOENT each time, and a file is no directory': (mount) =>
    mount.python(`
for again in range(3):
    refused(lambda: os.stat(path('tensors', 'missing.bin')), 'ENOENT')
    refused(lambda: os.stat(path('missing', 'start.bin')), 'ENOENT')
refused(lambda: os.stat(path('tensors', 'start.bin', 'x')), 'ENOTDIR')
refused(lambda: os.stat(path('n' * 256)), 'ENAMETOOLONG')
refused(lambda: open(path('tensors'), 'rb'), 'EISDIR')
`),

  'nothing can be changed': (mount) =>
    mount.python(`
target = path('tensors', 'start.bin')
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
    refused(lambda: os.open(target, flags), 'EROFS', 'EACCES')
refused(lambda: os.open(path('logs', 'fuse.log'), os.O_WRONLY | os.O_APPEND), 'EROFS', 'EACCES')
refused(lambda: os.open(path('new'), os.O_CREAT | os.O_WRONLY), 'EROFS', 'EACCES')
refused(lambda: os.mkdir(path('new')), 'EROFS', 'EACCES')
refused(lambda: os.unlink(target), 'EROFS', 'EACCES')
refused(lambda: os.rmdir(path('many')), 'EROFS', 'EACCES')
refused(lambda: os.rename(target, path('new')), 'EROFS', 'EACCES')
refused(lambda: os.link(target, path('new')), 'EROFS', 'EACCES')
refused(lambda: os.symlink('x', path('new')), 'EROFS', 'EACCES')
refused(lambda: os.chmod(target, 0o777), 'EROFS', 'EACCES', 'EPERM')
refused(lambda: os.utime(target, (1, 1)), 'EROFS', 'EACCES', 'EPERM')
refused(lambda: os.truncate(target, 0), 'EROFS', 'EACCES')
refused(lambda: os.setxattr(target, 'user.x', b'y'), 'EROFS', 'EACCES')
assert not os.access(target, os.W_OK) and os.access(target, os.R_OK) and not os.access(target, os.X_OK)
assert open(target, 'rb').read() == start
`),

  'extended attributes are listed and read, with the errors of xattr(7)': (mount) =>
    mount.python(`
import ctypes
target = path('tensors', 'start.bin')
assert {name: os.getxattr(target, name).decode() for name in os.listxattr(target)} == facts['xattrs']
assert os.listxattr(path('tensors', 'mixed.npy')) == []
refused(lambda: os.getxattr(target, 'user.mlfs.nothing'), 'ENODATA')
libc = ctypes.CDLL(None, use_errno=True)
def small(call, *args):
    room = ctypes.create_string_buffer(b'#' * 64, 64)
    assert call(target.encode(), *args, room, 2) == -1 and ctypes.get_errno() == errno.ERANGE, ctypes.get_errno()
    assert room.raw == b'#' * 64
small(libc.getxattr, b'user.mlfs.dtype')
small(libc.listxattr)
`),

  'a mapping shows the same bytes, above 4 GiB too': (mount) =>
    mount.python(`
import mmap
for name, expected in ('start.bin', start), ('mixed.npy', mixed), ('gather.bin', start):
    with open(path('tensors', name), 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:] == expected, name
with open(path('tensors', 'whole.pt'), 'rb') as file:
    for begin in (2**31 - 2**20, 2**32 - 2**20, 2**32):
        with mmap.mmap(file.fileno(), 2**20, access=mmap.ACCESS_READ, offset=begin) as mapped:
            assert mapped[:] == pattern(begin, 2**20), begin
`),

  'many readers at a time each get their own bytes': (mount) =>
    mount.python(`
import random
from concurrent.futures import ThreadPoolExecutor
def read_some(seed):
    dice = random.Random(seed)
    for turn in range(60):
        name, expected = dice.choice((('start.bin', start), ('mixed.npy', mixed), ('gather.bin', start)))
        fd = os.open(path('tensors', name), os.O_RDONLY)
        offset, size = dice.randrange(len(expected)), dice.randrange(300000)
        assert os.pread(fd, size, offset) == expected[offset:offset + size], (name, offset, size)
        os.close(fd)
with ThreadPoolExecutor(8) as pool: list(pool.map(read_some, range(8)))
`),

  'direct reads are the same bytes': (mount) =>
    mount.python(`
import mmap
fd = os.open(path('tensors', 'start.bin'), os.O_RDONLY | os.O_DIRECT)
room = mmap.mmap(-1, 2**20)
for offset in (0, 4096, 2**20, 2**21, len(start) // 4096 * 4096):
    count = os.preadv(fd, [room], offset)
    assert room[:count] == start[offset:offset + 2**20], (offset, count)
`),

  'a storm of handled signals changes nothing about what is read': (mount) =>
    mount.python(`
import mmap, signal
storm = 0
def count(*_):
    global storm
    storm += 1
signal.signal(signal.SIGALRM, count)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
direct = os.open(path('tensors', 'start.bin'), os.O_RDONLY | os.O_DIRECT)
cached = os.open(path('tensors', 'gather.bin'), os.O_RDONLY)
room = mmap.mmap(-1, 2**20)
for turn in range(100):
    offset = turn % 3 * 2**20
    filled = os.preadv(direct, [room], offset)
    assert room[:filled] == start[offset:offset + filled], (turn, offset, filled)
    assert os.pread(cached, 2**20, offset) == start[offset:offset + 2**20]
    json.load(open(path('sys', 'status.json')))
signal.setitimer(signal.ITIMER_REAL, 0)
assert storm > 10, storm
`),

  'cp and cmp agree': async (mount) => {
    const source = join(mount.path, 'tensors', 'mixed.npy');
    const copy = `${mount.path}.copy`;
    assert.equal((await mount.run('cp', [source, copy])).stderr, '');
    assert.equal((await mount.run('cmp', [source, copy])).stdout, '');
  },

  'lseek finds data everywhere and a hole at the end only': (mount) =>
    mount.python(`
fd = os.open(path('tensors', 'start.bin'), os.O_RDONLY)
size = len(start)
for offset in (0, 1, 4096, size - 1):
    assert os.lseek(fd, offset, os.SEEK_DATA) == offset
    assert os.lseek(fd, offset, os.SEEK_HOLE) == size
for whence in (os.SEEK_DATA, os.SEEK_HOLE):
    refused(lambda: os.lseek(fd, size, whence), 'ENXIO')
    refused(lambda: os.lseek(fd, size + 100, whence), 'ENXIO')
assert os.lseek(fd, -5, os.SEEK_END) == size - 5
assert os.read(fd, 100) == start[-5:]
`),

  'statvfs is sensible': (mount) =>
    mount.python(`
v = os.statvfs(mount)
assert v.f_namemax == 255 and v.f_bfree == 0 and v.f_files > facts['manyCount'], v
assert v.f_blocks * v.f_frsize >= facts['imageSize'], v
`),

  'a document is made anew at each open and is whole': (mount) =>
    mount.python(`
import subprocess
last = 0
for turn in range(5):
    with open(path('sys', 'status.json'), 'rb') as file:
        text = file.read()
        assert os.fstat(file.fileno()).st_size == len(text), (os.fstat(file.fileno()).st_size, text)
    document = json.loads(text)
    assert document['made'] > last and len(document['filler']) == document['made'], document
    last = document['made']
assert json.loads(subprocess.check_output(['cat', path('sys', 'status.json')]))['made'] > last
assert os.stat(path('sys', 'status.json')).st_size > 0
`),

  'a reader of what never comes can be killed, and the mount goes on': async (mount) => {
    const blocked = mount.line('BLOCKED');
    const reader = mount.start('cat', [join(mount.path, 'blocked', 'never.bin')]);
    const exit = once(reader, 'exit');
    await blocked;
    reader.kill('SIGINT');
    assert.deepEqual(await exit, [null, 'SIGINT']);
    await mount.python(
      "assert os.pread(os.open(path('tensors', 'start.bin'), os.O_RDONLY), 9, 0) == start[:9]",
    );
  },
};

/** What a transport must do that passes INTERRUPT on; libfuse 2.9 does not. */
export const INTERRUPT_CASES: Readonly<Record<string, Case>> = {
  'an open that never ends is interrupted by a signal that is handled': async (mount) => {
    const blocked = mount.line('BLOCKED');
    const script = `
import sys
try: open(sys.argv[1])
except KeyboardInterrupt: sys.exit(42)
`;
    const opener = mount.start('python3', ['-c', script, join(mount.path, 'blocked', 'never.json')]);
    const exit = once(opener, 'exit');
    await blocked;
    opener.kill('SIGINT');
    assert.deepEqual(await exit, [42, null]);
  },
};

/** What any transport must do when the mount is not read-only. */
export const APPEND_CASES: Readonly<Record<string, Case>> = {
  'lines appended to the log are there for every reader at once': (mount) =>
    mount.python(`
import subprocess
log = path('logs', 'fuse.log')
expected = facts['firstLogLine']
reader = open(log, 'rb', buffering=0)
assert reader.read().decode() == expected
for turn in range(3):
    line = 'level=info msg="note %d"\\n' % turn
    subprocess.check_call(['sh', '-c', 'printf %s "$1" >> "$0"', log, line])
    expected += line
    assert open(log).read() == expected, open(log).read()
    assert os.stat(log).st_size == len(expected)
    assert reader.read().decode() == line
with open(log, 'ab', buffering=0) as one, open(log, 'ab', buffering=0) as other:
    one.write(b'one\\n'); other.write(b'other\\n'); one.write(b'one again\\n')
assert open(log).read() == expected + 'one\\nother\\none again\\n'
`),

  'the log cannot be cut, and nothing else can be done to it': (mount) =>
    mount.python(`
log = path('logs', 'fuse.log')
before = open(log).read()
refused(lambda: open(log, 'w'), 'EPERM')
refused(lambda: os.truncate(log, 0), 'EPERM')
refused(lambda: os.unlink(log), 'EACCES')
refused(lambda: os.rename(log, path('room', 'log')), 'EACCES')
refused(lambda: os.chmod(log, 0o777), 'EPERM')
refused(lambda: os.utime(log, (1, 1)), 'EPERM')
assert open(log).read() == before
`),
};
