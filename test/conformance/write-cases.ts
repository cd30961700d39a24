import assert from 'node:assert/strict';
import { join } from 'node:path';
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
        around = max(0, offset - 4096)
        assert os.pread(fd, size + 8192, around) == bytes(expected[around:][:size + 8192])
assert whole('a.bin') == bytes(expected)
os.close(fd)
assert whole('a.bin') == bytes(expected)
`),

  'a write larger than a request is taken whole, and fsync succeeds': (mount) =>
    mount.python(`
fd = fresh('a.bin')
data = os.urandom(room['size'])
assert os.pwrite(fd, data, 0) == len(data)
assert whole('a.bin') == data
os.fsync(fd)
os.fdatasync(fd)
sync = os.open(path('room', 'a.bin'), os.O_WRONLY | os.O_SYNC)
assert os.pwrite(sync, b'durable', 77) == 7
assert whole('a.bin')[77:84] == b'durable'
room_fd = os.open(path('room'), os.O_RDONLY | os.O_DIRECTORY)
os.fsync(room_fd)
`),

  'dd with conv=notrunc changes what it writes and nothing else': async (mount) => {
    await mount.python("os.close(fresh('a.bin'))");
    const target = join(mount.path, 'room', 'a.bin');
    const options = ['if=/dev/stdin', `of=${target}`, 'conv=notrunc', 'bs=1', 'seek=1000', 'status=none'];
    const dd = await mount.run('sh', ['-c', 'printf abcd | dd "$@"', 'sh', ...options]);
    assert.equal(dd.code, 0, dd.stderr);
    await mount.python("assert whole('a.bin') == bytes(1000) + b'abcd' + bytes(room['size'] - 1004)");
  },

  'cp, cat and dd replace the bytes of a file by as many others': async (mount) => {
    const target = join(mount.path, 'room', 'sub', 'other.bin');
    const copy = `${mount.path}.replacement`;
    for (const [value, script] of [
      ['1', 'cp "$0" "$1"'],
      ['2', 'cat "$0" > "$1"'],
      ['3', 'dd if="$0" of="$1" bs=700 status=none'],
      ['4', 'head -c 3000 "$0" > "$1.not" && cp "$0" "$1" && rm "$1.not"'],
      ['5', '{ head -c 3000 "$0"; tail -c +3001 "$0"; } > "$1"'],
    ] as const) {
      await mount.python(`open('${copy}', 'wb').write(b'${value}' * room['other']['size'])`);
      const { code, stderr } = await mount.run('sh', ['-c', script, copy, target]);
      assert.equal(code, 0, `${script}: ${stderr}`);
      await mount.python(`
data = open(path('room', 'sub', 'other.bin'), 'rb').read()
assert data == b'${value}' * room['other']['size'], (data[:10], len(data))
`);
    }
  },

  'a replacement of another size is EINVAL at close, the old bytes stay, and the log says why': async (
    mount,
  ) => {
    const said = mount.line(/^LOG \/room\/a\.bin: not replaced: 9 bytes/);
    await mount.python(`
os.close(fresh('a.bin'))
file = open(path('room', 'a.bin'), 'wb')
file.write(b'too short')
refused(file.close, 'EINVAL')
assert whole('a.bin') == bytes(room['size'])
assert os.stat(path('room', 'a.bin')).st_size == room['size']
`);
    await said;
  },

  'a replacement that would be too large is EFBIG, and the old bytes stay': (mount) =>
    mount.python(`
os.close(fresh('a.bin'))
fd = os.open(path('room', 'a.bin'), os.O_WRONLY | os.O_TRUNC)
refused(lambda: os.pwrite(fd, b'x', room['size']), 'EFBIG')
os.close(fd)
assert whole('a.bin') == bytes(room['size'])
`),

  'a redirection that writes nothing changes nothing': async (mount) => {
    const said = mount.line(/^LOG \/room\/a\.bin: opened to be replaced/);
    await mount.python(`
fd = fresh('a.bin')
os.pwrite(fd, b'kept', 0)
os.close(fd)
`);
    const shell = await mount.run('sh', ['-c', ': > "$0"', join(mount.path, 'room', 'a.bin')]);
    assert.equal(shell.code, 0, shell.stderr);
    await said;
    await mount.python("assert whole('a.bin') == b'kept' + bytes(room['size'] - 4)");
  },

  'a number fills a tensor': (mount) =>
    mount.python(`
import struct, subprocess
os.close(fresh('floats.bin'))
n = room['floats']['elements']
def say(text):
    with open(path('room', 'floats.bin'), 'w') as file: file.write(text)
for text, value in ('0.5\\n', 0.5), ('  -3e2', -300.0), ('0.0\\n', 0.0), ('7', 7.0):
    say(text)
    assert whole('floats.bin') == struct.pack('<f', value) * n, text
subprocess.check_call(['sh', '-c', 'echo 1.5 > "$0"', path('room', 'floats.bin')])
assert whole('floats.bin') == struct.pack('<f', 1.5) * n
refused(lambda: say('one half'), 'EINVAL')
refused(lambda: say('1 2'), 'EINVAL')
assert whole('floats.bin') == struct.pack('<f', 1.5) * n
# Where nothing is known of elements a number is just a text of the wrong size.
def other():
    with open(path('room', 'a.bin'), 'w') as file: file.write('0.0')
refused(other, 'EINVAL')
`),

  'what parses its replacement takes texts of any size, and refuses what it cannot parse': (mount) =>
    mount.python(`
import struct
os.close(fresh('floats.bin'))
n = room['floats']['elements']
values = [index / 4 for index in range(n)]
with open(path('room', 'floats.txt'), 'w') as file: file.write(''.join('%g\\n' % value for value in values))
assert whole('floats.bin') == struct.pack('<%df' % n, *values)
text = open(path('room', 'floats.txt')).read()
assert [float(line) for line in text.split()] == values
with open(path('room', 'floats.txt'), 'w') as file: file.write(text.replace('0.250000', '8.000000'))
assert struct.unpack('<%df' % n, whole('floats.bin'))[:3] == (0.0, 8.0, 0.5)
def half():
    with open(path('room', 'floats.txt'), 'w') as file: file.write('1 2 3')
refused(half, 'EINVAL')
assert struct.unpack('<%df' % n, whole('floats.bin'))[:3] == (0.0, 8.0, 0.5)
refused(lambda: os.open(path('room', 'floats.txt'), os.O_RDWR), 'EPERM')
`),

  'the size of a file is fixed: truncate to another size is EPERM or EFBIG': (mount) =>
    mount.python(`
fd = fresh('a.bin')
os.pwrite(fd, b'kept', 0)
size = room['size']
target = path('room', 'a.bin')
os.truncate(target, size)
os.ftruncate(fd, size)
for wrong in (0, 1, size - 1): refused(lambda: os.truncate(target, wrong), 'EPERM')
for wrong in (1, size - 1): refused(lambda: os.ftruncate(fd, wrong), 'EPERM')
for wrong in (size + 1, 2**40):
    refused(lambda: os.truncate(target, wrong), 'EFBIG')
    refused(lambda: os.ftruncate(fd, wrong), 'EFBIG')
assert whole('a.bin') == b'kept' + bytes(size - 4)
`),

  'ftruncate to nothing starts a replacement, which an empty file cannot be': (mount) =>
    mount.python(`
import subprocess
os.close(fresh('a.bin'))
target = path('room', 'a.bin')
fd = os.open(target, os.O_WRONLY)
os.ftruncate(fd, 0)
data = b'n' * room['size']
assert os.write(fd, data) == len(data)
os.close(fd)
assert whole('a.bin') == data
done = subprocess.run(['truncate', '-s', '0', target], capture_output=True, text=True)
assert done.returncode != 0 and 'Invalid argument' in done.stderr, done
assert whole('a.bin') == data
`),

  'a write past the end is EFBIG, and nothing of it is written': (mount) =>
    mount.python(`
fd = fresh('a.bin')
size = room['size']
for offset, data in ((size, b'x'), (size + 1, b'x'), (size - 1, b'xy'), (2**40, b'x')):
    refused(lambda: os.pwrite(fd, data, offset), 'EFBIG')
appending = os.open(path('room', 'a.bin'), os.O_WRONLY | os.O_APPEND)
refused(lambda: os.write(appending, b'x'), 'EFBIG')
assert os.fstat(fd).st_size == size
os.close(fd)
assert whole('a.bin') == bytes(size)
`),

  'other names and views of the same bytes show a write at the next open': (mount) =>
    mount.python(`
fd = fresh('a.bin')
for name in ('tied.bin', 'part.bin', 'second.bin'): assert not any(whole(name)), name
size, part, second = room['size'], room['part'], room['second']
data = bytes(index % 253 + 1 for index in range(size))
os.pwrite(fd, data, 0)
os.close(fd)
assert whole('tied.bin') == data
assert whole('part.bin') == data[part['offset']:][:part['size']]
def every_second(data): return b''.join(data[at:at + 4] for at in range(0, size, 8))
assert whole('second.bin') == every_second(data)
with open(path('tensors', 'whole.pt'), 'rb') as file:
    file.seek(room['offset'] - 1)
    assert file.read(size + 2) == b'\\0' + data + b'\\0'
# And the other way: through the views into the storage.
expected = bytearray(data)
with open(path('room', 'part.bin'), 'r+b') as file: file.write(b'P' * 1001)
expected[part['offset']:part['offset'] + 1001] = b'P' * 1001
assert whole('a.bin') == bytes(expected)
with open(path('room', 'second.bin'), 'r+b') as file:
    file.seek(1021)
    file.write(b'S' * 50)
for at in range(1021, 1071): expected[at // 4 * 8 + at % 4] = ord('S')
assert whole('tied.bin') == bytes(expected)
assert whole('second.bin') == every_second(expected)
`),

  'a mapping can be written, and msync shows it to readers': (mount) =>
    mount.python(`
import mmap
fd = fresh('a.bin')
size = room['size']
with mmap.mmap(fd, size) as mapped:
    mapped[0:5] = b'first'
    mapped[size - 4:size] = b'last'
    mapped[131070:131080] = b'0123456789'
    mapped.flush()
    assert whole('a.bin') == b'first' + bytes(131065) + b'0123456789' + bytes(size - 131084) + b'last'
    mapped[5] = 33
os.close(fd)
assert whole('a.bin')[:6] == b'first!'
assert whole('part.bin')[131070 - room['part']['offset']:][:10] == b'0123456789'
`),

  'what has bytes of no place of its own can be opened for reading only, by root too': async (mount) => {
    const said = mount.line(/^LOG \/room\/expanded\.bin: cannot be written/);
    await mount.python(`
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    refused(lambda: os.open(path('room', 'expanded.bin'), flags), 'EPERM', 'EACCES')
refused(lambda: os.truncate(path('room', 'expanded.bin'), 0), 'EPERM', 'EACCES')
refused(lambda: os.open(path('sys', 'status.json'), os.O_WRONLY), 'EPERM', 'EACCES')
`);
    await said;
  },

  'scratch files are made, written, read, renamed and removed': (mount) =>
    mount.python(`
import stat
target = path('room', '.a.bin.swp')
for again in range(3):
    fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    assert os.write(fd, b'one two three') == 13
    assert os.pread(fd, 100, 4) == b'two three'
    assert os.stat(target).st_size == 13
    os.ftruncate(fd, 3)
    assert open(target, 'rb').read() == b'one'
    os.pwrite(fd, b'!', 100000)
    assert os.fstat(fd).st_size == 100001
    os.fsync(fd)
    os.close(fd)
    assert '.a.bin.swp' in os.listdir(path('room'))
    with open(target, 'ab') as file: file.write(b'end')
    assert open(target, 'rb').read() == b'one' + bytes(99997) + b'!end'
    os.rename(target, path('room', 'sub', 'renamed'))
    refused(lambda: os.stat(target), 'ENOENT')
    assert os.stat(path('room', 'sub', 'renamed')).st_size == 100004
    os.unlink(path('room', 'sub', 'renamed'))
    refused(lambda: os.stat(path('room', 'sub', 'renamed')), 'ENOENT')
assert sorted(os.listdir(path('room', 'sub'))) == ['other.bin']
refused(lambda: os.open(target, os.O_RDWR), 'ENOENT')
refused(lambda: os.unlink(target), 'ENOENT')
`),

  'scratch folders are made, filled, renamed and removed': (mount) =>
    mount.python(`
import shutil
os.mkdir(path('room', 'new'))
refused(lambda: os.mkdir(path('room', 'new')), 'EEXIST')
os.makedirs(path('room', 'new', 'deep', 'er'))
with open(path('room', 'new', 'deep', 'file'), 'w') as file: file.write('here')
refused(lambda: os.rmdir(path('room', 'new')), 'ENOTEMPTY')
os.rename(path('room', 'new'), path('room', 'sub', 'moved'))
assert open(path('room', 'sub', 'moved', 'deep', 'file')).read() == 'here'
refused(lambda: os.stat(path('room', 'new', 'deep')), 'ENOENT')
refused(lambda: os.rmdir(path('room', 'sub', 'moved', 'deep', 'file')), 'ENOTDIR')
refused(lambda: os.unlink(path('room', 'sub', 'moved')), 'EISDIR', 'EPERM')
shutil.rmtree(path('room', 'sub', 'moved'))
assert os.listdir(path('room', 'sub')) == ['other.bin']
`),

  'a file that is renamed over a tensor replaces its bytes, or is refused and stays': async (mount) => {
    const said = mount.line(/^LOG \/room\/sub\/other\.bin: not replaced/);
    await mount.python(`
target, other = path('room', 'sub', 'other.bin'), path('room', 'sub', '.other.bin.Ab12')
def scratch(data):
    with open(other, 'wb') as file: file.write(data)
inode = os.stat(target).st_ino
size = room['other']['size']
data = os.urandom(size)
scratch(data)
os.rename(other, target)
assert open(target, 'rb').read() == data
assert os.stat(target).st_ino == inode and os.stat(target).st_size == size
refused(lambda: os.stat(other), 'ENOENT')
scratch(b'too short')
refused(lambda: os.rename(other, target), 'EINVAL')
assert open(other, 'rb').read() == b'too short'
assert open(target, 'rb').read() == data
os.unlink(other)
# A scratch file over another: as on any directory.
scratch(b'1')
with open(path('room', 'x'), 'wb') as file: file.write(b'22')
os.rename(other, path('room', 'x'))
assert open(path('room', 'x'), 'rb').read() == b'1'
os.unlink(path('room', 'x'))
assert os.listdir(path('room', 'sub')) == ['other.bin']
`);
    await said;
  },

  'sed -i edits a text view and leaves no other file behind': async (mount) => {
    await mount.python(`
os.close(fresh('floats.bin'))
before = os.listdir(path('room'))
open('${mount.path}.listing', 'w').write(json.dumps(before))
`);
    const text = join(mount.path, 'room', 'floats.txt');
    const sed = await mount.run('sed', ['-i', '1,2s/0\\.00000/42.5/', text]);
    assert.equal(sed.code, 0, sed.stderr);
    await mount.python(`
import struct
assert struct.unpack('<3f', whole('floats.bin')[:12]) == (42.5, 42.5, 0.0)
assert open(path('room', 'floats.txt')).read().split()[:3] == ['42.5000', '42.5000', '0.00000']
assert os.listdir(path('room')) == json.load(open('${mount.path}.listing'))
`);
  },

  'what the checkpoint holds cannot be moved or linked, nor its folders removed': async (mount) => {
    const said = mount.line(/^LOG \/room\/a\.bin: cannot be removed or moved.*rsync --inplace/);
    await mount.python(`
target = path('room', 'a.bin')
refused(lambda: os.rename(target, path('room', 'b.bin')), 'EPERM')
refused(lambda: os.rename(path('room', 'sub'), path('room', 'sup')), 'EPERM')
refused(lambda: os.rmdir(path('room', 'sub')), 'EPERM', 'ENOTEMPTY')
refused(lambda: os.unlink(path('room', 'expanded.bin')), 'EPERM')
refused(lambda: os.link(target, path('room', 'b.bin')), 'EPERM')
refused(lambda: os.symlink('a.bin', path('room', 'b.bin')), 'EPERM')
refused(lambda: os.mkfifo(path('room', 'fifo')), 'EPERM')
refused(lambda: os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY), 'EEXIST')
refused(lambda: os.mkdir(path('room', 'sub')), 'EEXIST')
refused(lambda: os.setxattr(target, 'user.x', b'y'), 'ENOTSUP')
refused(lambda: os.removexattr(target, 'user.mlfs.dtype'), 'ENOTSUP')
`);
    await said;
  },

  'a file that is removed and made again is replaced': (mount) =>
    mount.python(`
os.close(fresh('a.bin'))
target, size = path('room', 'a.bin'), room['size']
names, inode = os.listdir(path('room')), os.stat(target).st_ino
for turn, flags in enumerate((os.O_CREAT | os.O_EXCL | os.O_WRONLY, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, os.O_CREAT | os.O_RDWR)):
    old, new = whole('a.bin'), bytes([turn + 1]) * size
    os.unlink(target)
    for action in (os.stat, os.unlink, lambda name: os.open(name, os.O_RDWR), lambda name: os.rename(name, name + 'x')):
        refused(lambda: action(target), 'ENOENT')
    assert [name for name in names if name != 'a.bin'] == os.listdir(path('room'))
    assert whole('tied.bin') == old, 'its bytes are there under its other names'
    fd = os.open(target, flags, 0o640)
    os.write(fd, new)
    os.fchmod(fd, 0o644)
    os.close(fd)
    assert whole('a.bin') == whole('tied.bin') == new
    assert os.stat(target).st_ino == inode
    assert os.listdir(path('room')) == names
`),

  'a removed file takes a file of its own size or one number, and is as it was after anything else': async (
    mount,
  ) => {
    const said = mount.line(/^LOG \/room\/a\.bin: not replaced: 9 bytes/);
    await mount.python(`
os.close(fresh('a.bin'))
target, size = path('room', 'a.bin'), room['size']
os.unlink(target)
fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
os.write(fd, b'too short')
refused(lambda: os.close(fd), 'EINVAL')
assert whole('a.bin') == bytes(size)
os.unlink(target)
fd = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
refused(lambda: os.pwrite(fd, b'x', size), 'EFBIG')
os.close(fd)
assert whole('a.bin') == bytes(size)
# Only a file can replace a file.
os.unlink(target)
refused(lambda: os.mkdir(target), 'EEXIST')
assert whole('a.bin') == bytes(size)
os.unlink(target)
refused(lambda: os.symlink('tied.bin', target), 'EPERM')
refused(lambda: os.link(path('room', 'tied.bin'), target), 'EPERM')
refused(lambda: os.stat(target), 'ENOENT')
# A rename is a replacement, too, and one that must find nothing finds nothing.
other = path('room', '.new')
with open(other, 'wb') as file: file.write(b'r' * size)
os.rename(other, target)
assert whole('a.bin') == b'r' * size
os.unlink(target)
with open(other, 'wb') as file: file.write(b'short')
refused(lambda: os.rename(other, target), 'EINVAL')
assert whole('a.bin') == b'r' * size
os.unlink(other)
`);
    await said;
  },

  'a removed file is back at once when its folder is to be removed, too': (mount) =>
    mount.python(`
import subprocess
os.close(fresh('a.bin'))
before = open(path('room', 'sub', 'other.bin'), 'rb').read()
removal = subprocess.run(['rm', '-rf', path('room', 'sub')], capture_output=True, text=True)
assert removal.returncode == 1 and 'not permitted' in removal.stderr, removal
assert os.listdir(path('room', 'sub')) == ['other.bin']
assert open(path('room', 'sub', 'other.bin'), 'rb').read() == before
`),

  'a removed file that somebody has open: who reads goes on, and sees the file that replaces it': (mount) =>
    mount.python(`
os.close(fresh('a.bin'))
target, size = path('room', 'a.bin'), room['size']
reader = os.open(target, os.O_RDONLY)
if facts['transport'] != 'kernel':
    # libfuse moves a file that is open out of the way, and a tensor cannot be moved.
    refused(lambda: os.unlink(target), 'EPERM', 'EBUSY')
    assert whole('a.bin') == bytes(size)
else:
    os.unlink(target)
    assert os.pread(reader, size, 0) == bytes(size)
    with open(target, 'xb') as file: file.write(b'n' * size)
    assert os.pread(reader, size, 0) == b'n' * size
    # Who was replacing a file replaces nothing any more when it has no name.
    lone = path('room', 'sub', 'other.bin')
    with open(lone, 'rb') as file:
        before = file.read()
        with open(lone, 'wb') as late:
            late.write(b'x' * len(before))
            late.flush()
            os.unlink(lone)
        assert os.pread(file.fileno(), len(before), 0) == before
    with open(lone, 'xb') as file: file.write(before)
os.close(reader)
`),

  'outside the writable rooms nothing can be made or removed': (mount) =>
    mount.python(`
for folder in (path(), path('tensors'), path('sys')):
    refused(lambda: os.open(os.path.join(folder, 'new'), os.O_CREAT | os.O_WRONLY), 'EACCES')
    refused(lambda: os.mkdir(os.path.join(folder, 'new')), 'EACCES')
with open(path('room', 'x'), 'w') as file: file.write('x')
refused(lambda: os.rename(path('room', 'x'), path('tensors', 'x')), 'EACCES')
refused(lambda: os.rename(path('room', 'x'), path('tensors', 'start.bin')), 'EACCES')
os.unlink(path('room', 'x'))
refused(lambda: os.unlink(path('tensors', 'start.bin')), 'EACCES')
refused(lambda: os.rmdir(path('many')), 'EACCES')
refused(lambda: os.chmod(path('tensors', 'start.bin'), 0o600), 'EPERM')
refused(lambda: os.open(path('tensors', 'start.bin'), os.O_WRONLY), 'EPERM', 'EACCES')
assert not os.path.exists(path('new'))
`),

  'modes, owners and times are accepted and kept while it is mounted': (mount) =>
    mount.python(`
import stat, subprocess
target = path('room', 'a.bin')
os.close(fresh('a.bin'))
assert stat.S_IMODE(os.stat(target).st_mode) == 0o644 and stat.S_IMODE(os.stat(path('room')).st_mode) == 0o755
os.chmod(target, 0o4640)
assert stat.S_IMODE(os.stat(target).st_mode) == 0o640
# The package fuse-native hands the access time on twice.
accessed = 1000 if facts['transport'] == 'kernel' else 2000
os.utime(target, (accessed, 2000))
assert (os.stat(target).st_atime, os.stat(target).st_mtime) == (accessed, 2000)
if os.getuid() == 0:
    os.chown(target, 12, 34)
    assert (os.stat(target).st_uid, os.stat(target).st_gid) == (12, 34)
    os.chown(target, os.getuid(), -1)
    assert (os.stat(target).st_uid, os.stat(target).st_gid) == (0, 34)
assert stat.S_IMODE(os.stat(path('room', 'tied.bin')).st_mode) == 0o640
os.chmod(target, 0o644)
subprocess.check_call(['touch', path('room', 'sub')])
# A write makes the time later, even when the clock did not move.
times = []
with open(target, 'r+b', buffering=0) as file:
    for turn in range(5):
        os.pwrite(file.fileno(), b'%d' % turn, 0)
        times.append(os.stat(target).st_mtime_ns)
assert times == sorted(set(times)) and times[0] > 2000 * 10**9, times
# Equal bytes are no change.
with open(target, 'r+b', buffering=0) as file: file.write(b'4')
assert os.stat(target).st_mtime_ns == times[-1]
`),

  'the time of a view rises with a write through another': (mount) =>
    mount.python(`
fd = fresh('a.bin')
def times(): return [os.stat(path('room', name)).st_mtime_ns for name in ('part.bin', 'second.bin', 'floats.bin')]
before = times()
os.pwrite(fd, b'x' * 64, room['part']['offset'])
os.close(fd)
after = times()
assert after[0] > before[0] and after[1] > before[1] and after[2] == before[2], (before, after)
`),

  'two handles at a time: the replacement that is closed last is the one that stays': (mount) =>
    mount.python(`
os.close(fresh('a.bin'))
size = room['size']
plain = open(path('room', 'a.bin'), 'rb')
one, other = (open(path('room', 'a.bin'), 'wb') for _ in range(2))
one.write(b'1' * size); other.write(b'2' * size)
one.close()
assert whole('a.bin') == b'1' * size
other.close()
assert whole('a.bin') == b'2' * size
assert os.stat(path('room', 'a.bin')).st_size == size
`),

  'a writer that is killed before it closes has changed nothing': async (mount) => {
    await mount.python("os.close(fresh('a.bin'))");
    const writer = mount.pausing(`
file = open(path('room', 'a.bin'), 'wb', buffering=0)
file.write(b'never' * 1000)
pause()
`);
    await writer.paused;
    await writer.kill();
    await mount.python("assert whole('a.bin') == bytes(room['size'])");
  },

  'fallocate within the size succeeds, beyond it is EFBIG, and nothing is punched': (mount) =>
    mount.python(`
import ctypes
fd = fresh('a.bin')
os.pwrite(fd, b'kept', 100)
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
def fallocate(fd, mode, offset, length):
    return 0 if libc.fallocate(fd, mode, offset, length) == 0 else ctypes.get_errno()
size = room['size']
supported = fallocate(fd, 0, 0, size)
if facts['transport'] == 'kernel':
    assert supported == 0 and fallocate(fd, 1, 5, 10) == 0
    assert fallocate(fd, 0, size, 1) == errno.EFBIG
    with open(path('room', 'x'), 'w') as file:
        assert fallocate(file.fileno(), 0, 0, 5000) == 0
        assert os.fstat(file.fileno()).st_size == 5000
    os.unlink(path('room', 'x'))
else: assert supported == errno.EOPNOTSUPP
for mode in (3, 0x11, 8): assert fallocate(fd, mode, 0, 4096) in (errno.EOPNOTSUPP, errno.EINVAL)
assert whole('a.bin') == bytes(100) + b'kept' + bytes(size - 104)
`),

  'a gradient is a file like any other, up to the size of its tensor': (mount) =>
    mount.python(`
target = path('room', 'weight.grad')
limit = room['gradientBytes']
with open(target, 'wb') as file: file.write(b'g' * 100)
assert open(target, 'rb').read() == b'g' * 100
with open(target, 'ab') as file: file.write(b'h')
assert os.stat(target).st_size == 101
os.truncate(target, limit)
assert open(target, 'rb').read() == b'g' * 100 + b'h' + bytes(limit - 101)
refused(lambda: os.truncate(target, limit + 1), 'EFBIG')
fd = os.open(target, os.O_RDWR)
refused(lambda: os.pwrite(fd, b'x', limit), 'EFBIG')
os.fsync(fd)
os.ftruncate(fd, 0)
assert os.fstat(fd).st_size == 0
os.close(fd)
with open(path('room', '.g'), 'wb') as file: file.write(b'renamed')
os.rename(path('room', '.g'), target)
assert open(target, 'rb').read() == b'renamed'
os.unlink(target)
refused(lambda: os.stat(target), 'ENOENT')
with open(target, 'xb') as file: file.write(b'made')
assert open(target, 'rb').read() == b'made'
open(target, 'wb').close()
assert os.stat(target).st_size == 0
`),

  'a line written to a command file is carried out, and its answer is read from the same descriptor': (
    mount,
  ) =>
    mount.python(`
import subprocess
fd = fresh('a.bin')
os.pwrite(fd, b'edited', 0)
os.close(fd)
control = os.open(path('control'), os.O_RDWR)
assert os.write(control, b'status\\n') == 7
answer = json.loads(os.read(control, 4096))
assert answer['performed'] == 'status' and answer['dirtyBytes'] > 0, answer
os.fsync(control)
refused(lambda: os.write(control, b'refuse\\n'), 'EBUSY')
os.close(control)
subprocess.check_call(['sh', '-c', 'echo discard > "$0"', path('control')])
assert whole('a.bin') == bytes(room['size'])
`),

  'locks are held between processes': async (mount) => {
    for (const [hold, take] of [
      ['fcntl.flock(fd, fcntl.LOCK_EX)', 'fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)'],
      ['fcntl.lockf(fd, fcntl.LOCK_EX, 10)', 'fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)'],
    ]) {
      const open = "import fcntl\nfd = os.open(path('room', 'a.bin'), os.O_RDWR)\n";
      const holder = mount.pausing(`${open}${hold}\npause()\n`);
      await holder.paused;
      await mount.python(`${open}refused(lambda: ${take}, 'EAGAIN')`);
      assert.equal(await holder.resume(), 0);
      await mount.python(`${open}${take}`);
    }
  },

  'a listing goes on where it was while files are made and removed': (mount) =>
    mount.python(`
names = ['.tmp%d' % index for index in range(300)]
for name in names: open(path('room', name), 'w').close()
seen = []
with os.scandir(path('room')) as entries:
    for entry in entries:
        seen.append(entry.name)
        if entry.name in names: os.unlink(entry.path)
assert len(seen) == len(set(seen)) and set(names) <= set(seen), len(seen)
assert not [name for name in os.listdir(path('room')) if name.startswith('.tmp')]
`),

  'many writers at a time each write their own bytes': (mount) =>
    mount.python(`
from concurrent.futures import ThreadPoolExecutor
os.close(fresh('a.bin'))
share = room['size'] // 8
def work(worker):
    name = 'a.bin' if worker % 2 else 'tied.bin'
    fd = os.open(path('room', name), os.O_RDWR)
    for turn in range(30):
        for offset in range(worker * share, (worker + 1) * share, 9973):
            size = min(9973, (worker + 1) * share - offset)
            os.pwrite(fd, bytes([worker + 1, turn]) * (size // 2), offset)
    os.close(fd)
with ThreadPoolExecutor(8) as pool: list(pool.map(work, range(8)))
data = whole('a.bin')
for worker in range(8):
    mine = data[worker * share:(worker + 1) * share]
    assert mine[:9972] == bytes([worker + 1, 29]) * 4986, (worker, mine[:20])
`),
};

/** What a transport must do that can tell the kernel what changed. */
export const COHERENT_CASES: Readonly<Record<string, Case>> = {
  'who has a file open sees what is written through another name or view of its bytes': (mount) =>
    mount.python(`
import mmap
fd = fresh('a.bin')
part, second = (os.open(path('room', name), os.O_RDONLY) for name in ('part.bin', 'second.bin'))
export = os.open(path('tensors', 'whole.pt'), os.O_RDONLY)
offset = room['part']['offset']
mapped = mmap.mmap(part, room['part']['size'], access=mmap.ACCESS_READ)
for turn in range(20):
    data = bytes([turn + 1]) * 5000
    at = offset + turn * 1000
    os.pwrite(fd, data, at)
    assert os.pread(part, 5000, turn * 1000) == data, turn
    assert mapped[turn * 1000:turn * 1000 + 5000] == data, turn
    assert os.pread(second, 1000, (at + 800) // 8 * 4)[:400] == data[:400], turn
    assert os.pread(export, 5000, room['offset'] + at) == data, turn
    assert os.fstat(part).st_mtime_ns == os.stat(path('room', 'part.bin')).st_mtime_ns
`),

  'readers go on seeing the old bytes while a replacement is written, and the new ones after it': (mount) =>
    mount.python(`
import mmap
os.close(fresh('a.bin'))
size = room['size']
reader = os.open(path('room', 'a.bin'), os.O_RDONLY)
assert os.pread(reader, size, 0) == bytes(size)
writer = open(path('room', 'a.bin'), 'wb', buffering=0)
assert os.pread(reader, size, 0) == bytes(size)
for at in range(0, size, 50_000):
    writer.write(b'n' * 50_000)
    assert os.fstat(reader).st_size == size
    assert os.pread(reader, size, 0) == bytes(size), at
    assert whole('a.bin') == bytes(size), at
    assert whole('part.bin') == bytes(room['part']['size'])
writer.close()
assert os.pread(reader, size, 0) == b'n' * size
assert whole('part.bin') == b'n' * room['part']['size']
`),

  'two writers of overlapping files never wait for each other for ever': (mount) =>
    mount.python(`
from concurrent.futures import ThreadPoolExecutor
os.close(fresh('a.bin'))
offset = room['part']['offset']
def work(which):
    name, at = (('a.bin', offset), ('part.bin', 0), ('second.bin', offset // 2))[which % 3]
    fd = os.open(path('room', name), os.O_RDWR)
    for turn in range(200):
        os.pwrite(fd, bytes([turn % 250 + 1]) * 3001, at + turn % 7 * 1000)
        os.pread(fd, 6000, at)
    os.close(fd)
with ThreadPoolExecutor(6) as pool: list(pool.map(work, range(6)))
data = whole('a.bin')
assert whole('part.bin') == data[offset:][:room['part']['size']]
assert whole('second.bin') == b''.join(data[at:at + 4] for at in range(0, room['size'], 8))
`),

  'a mapping of one view shows what a mapping of another wrote, when it was synced': (mount) =>
    mount.python(`
import mmap
fd = fresh('a.bin')
part = os.open(path('room', 'part.bin'), os.O_RDWR)
one, other = mmap.mmap(fd, room['size']), mmap.mmap(part, room['part']['size'])
offset = room['part']['offset']
for turn in range(10):
    one[offset + turn] = turn + 1
    one.flush()
    assert other[turn] == turn + 1
    other[5000 + turn] = turn + 1
    other.flush()
    assert one[offset + 5000 + turn] == turn + 1
`),

  'a file without a name can be written and read until it is closed': (mount) =>
    mount.python(`
fd = os.open(path('room', 'gone'), os.O_CREAT | os.O_RDWR)
os.unlink(path('room', 'gone'))
assert os.write(fd, b'still here') == 10
assert os.pread(fd, 100, 0) == b'still here'
assert os.fstat(fd).st_size == 10 and os.fstat(fd).st_nlink == 0
os.close(fd)
`),

  'who holds a tensor open sees the bytes of the file that was renamed over it': (mount) =>
    mount.python(`
target, other = path('room', 'sub', 'other.bin'), path('room', 'sub', '.other')
size = room['other']['size']
held = os.open(target, os.O_RDONLY)
os.pread(held, size, 0)
data = os.urandom(size)
scratch = os.open(other, os.O_CREAT | os.O_RDWR)
os.write(scratch, data)
os.rename(other, target)
assert os.pread(held, size, 0) == data
assert os.pread(scratch, size, 0) == data
assert open(target, 'rb').read() == data
`),
};
