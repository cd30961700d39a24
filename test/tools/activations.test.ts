/** /activations as programs see it, with files that the kernel serves by itself and with files that we serve. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { mountable, Server, type TransportName } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const TENSORS = [{ name: 'bias', dtype: 'float32', shape: [4], fill: new Uint8Array(16) }] as const;

interface Variant {
  readonly name: string;
  readonly transport: TransportName;
  readonly passthrough: 'on' | 'off';
}

const VARIANTS: readonly Variant[] = [
  { name: 'kernel, passed through where the kernel can', transport: 'kernel', passthrough: 'on' },
  { name: 'kernel, served by us', transport: 'kernel', passthrough: 'off' },
  { name: 'fuse-native', transport: 'fuse-native', passthrough: 'on' },
];

for (const { name, transport, passthrough } of VARIANTS) {
  describe(`/activations (${name})`, mountable(transport, 'python3-numpy'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start({ launcher: ['env', `MLFS_PASSTHROUGH=${passthrough}`] });
    });
    after(() => server.stop());
    const scene = (t: TestContext) => WritableMount.create(t, server, transport, TENSORS);

    test('a folder does what an ordinary folder does', async (t) => {
      const at = await scene(t);
      // fuse-native hands on one of the two times.
      const single = transport === 'fuse-native' ? 'True' : 'False';
      await at.python(`
single = ${single}
os.chdir(M + '/activations')
assert os.listdir('.') == []
os.makedirs('run/deep/er')
with open('run/a', 'wb') as file: assert file.write(b'hello') == 5
with open('run/a', 'ab') as file: file.write(b' world')
assert open('run/a', 'rb').read() == b'hello world'
assert os.stat('run/a').st_size == 11
fd = os.open('run/a', os.O_RDWR)
os.pwrite(fd, b'J', 0); os.ftruncate(fd, 7); os.fsync(fd)
assert os.pread(fd, 100, 0) == b'Jello w', os.pread(fd, 100, 0)
assert os.fstat(fd).st_size == 7
os.rename('run/a', 'run/b')
assert os.pread(fd, 100, 0) == b'Jello w'
os.truncate('run/b', 3)
assert os.fstat(fd).st_size == 3 and os.pread(fd, 100, 0) == b'Jel'
os.unlink('run/b')
os.pwrite(fd, b'still here', 0)
assert os.pread(fd, 100, 0) == b'still here' and os.fstat(fd).st_size == 10
os.close(fd)
assert sorted(os.listdir('run')) == ['deep']
with open('run/c', 'w') as file: file.write('c')
with open('run/d', 'w') as file: file.write('d')
os.replace('run/c', 'run/deep/er/e'); os.replace('run/d', 'run/deep/er/e')
assert open('run/deep/er/e').read() == 'd'
os.chmod('run/deep/er/e', 0o640); os.utime('run/deep/er/e', (1200000000 if single else 1000000000, 1200000000))
found = os.stat('run/deep/er/e')
assert found.st_mode & 0o7777 == 0o640 and found.st_mtime == 1200000000 and (single or found.st_atime == 1000000000)
os.rename('run/deep', 'run/renamed')
assert open('run/renamed/er/e').read() == 'd'
def refused(action, *names):
    try: action()
    except OSError as error: assert errno.errorcode[error.errno] in names, error
    else: raise AssertionError('was not refused')
refused(lambda: os.rmdir('run'), 'ENOTEMPTY')
refused(lambda: os.open('run/x', os.O_RDONLY), 'ENOENT')
refused(lambda: os.open('run/renamed/er/e', os.O_CREAT | os.O_EXCL), 'EEXIST')
refused(lambda: os.symlink('/etc/passwd', 'run/link'), 'EPERM')
refused(lambda: os.link('run/renamed/er/e', 'run/hard'), 'EPERM')
refused(lambda: os.mkfifo('run/pipe'), 'EPERM')
refused(lambda: os.rename('run/renamed/er/e', M + '/model/e'), 'EXDEV')
refused(lambda: os.rename('run', 'run/renamed/run'), 'EINVAL')
space, own = os.statvfs('run'), os.statvfs(T)
assert space.f_blocks * space.f_frsize == own.f_blocks * own.f_frsize and space.f_bavail > 0
`);
      const kept = join(at.stateDirectory, 'activations/run/renamed/er/e');
      assert.equal(await readFile(kept, 'utf8'), 'd');
    });

    test('bytes written by one descriptor are read by the others, and through a mapping', async (t) => {
      const at = await scene(t);
      await at.python(`
import mmap
path = M + '/activations/shared'
one = os.open(path, os.O_RDWR | os.O_CREAT)
other = os.open(path, os.O_RDONLY)
third = os.open(path, os.O_WRONLY | os.O_APPEND)
os.pwrite(one, bytes(8192), 0)
os.write(third, b'end')
assert os.fstat(other).st_size == 8195
assert os.pread(other, 10, 8190) == b'\\0\\0end'
view = mmap.mmap(one, 8192)
view[5000:5003] = b'map'
view.flush()
assert os.pread(other, 3, 5000) == b'map'
os.pwrite(one, b'pwrite', 100)
assert view[100:106] == b'pwrite'
view.close()
for fd in (one, other, third): os.close(fd)
assert open(path, 'rb').read()[5000:5003] == b'map'
`);
    });

    test('files beyond 4 GiB are files', async (t) => {
      const at = await scene(t);
      await at.python(`
path = M + '/activations/large'
fd = os.open(path, os.O_RDWR | os.O_CREAT)
place = 5 * 2**30 + 123
block = os.urandom(3 << 20)
assert os.pwrite(fd, block, place) == len(block)
os.fsync(fd)
assert os.fstat(fd).st_size == place + len(block)
assert os.pread(fd, len(block), place) == block
assert os.pread(fd, 4096, 2**30) == bytes(4096)
assert os.lseek(fd, 0, os.SEEK_HOLE) >= 0
os.close(fd)
`);
    });

    test('a large folder is listed whole while names are removed from it', async (t) => {
      const at = await scene(t);
      await at.python(`
folder = M + '/activations/many'
os.mkdir(folder)
names = {f'layer.{i:05}.bin' for i in range(3000)}
for name in names: open(folder + '/' + name, 'w').close()
assert set(os.listdir(folder)) == names
seen = set()
with os.scandir(folder) as entries:
    for entry in entries:
        assert entry.is_file()
        seen.add(entry.name)
        os.unlink(entry.path)
assert seen == names, len(seen)
os.rmdir(folder)
`);
    });

    test('a CSV stands beside each array, follows it, and goes with it', async (t) => {
      const at = await scene(t);
      await at.python(`
import numpy as np
folder = M + '/activations/run'
os.mkdir(folder)
np.save(folder + '/x.npy', np.arange(6, dtype='float32').reshape(2, 3))
assert sorted(os.listdir(folder)) == ['x.csv', 'x.npy']
read = lambda name='x.csv': open(folder + '/' + name).read()
assert read() == '0,1,2\\n3,4,5\\n'
assert os.stat(folder + '/x.csv').st_size == 12
array = np.load(folder + '/x.npy', mmap_mode='r+')
array[1, 2] = 0.1
array.flush(); del array
assert read() == '0,1,2\\n3,4,0.1\\n', read()
np.save(folder + '/x.npy', np.array([True, False]))
assert read() == 'True\\nFalse\\n', read()
try: open(folder + '/x.csv', 'r+')
except PermissionError: pass
else: raise AssertionError('was opened for writing')
os.rename(folder + '/x.npy', folder + '/y.npy')
assert sorted(os.listdir(folder)) == ['y.csv', 'y.npy']
assert read('y.csv') == 'True\\nFalse\\n'
with open(folder + '/y.csv', 'w') as file: file.write('my own\\n')
assert read('y.csv') == 'my own\\n'
os.unlink(folder + '/y.csv')
assert read('y.csv') == 'True\\nFalse\\n'
np.save(folder + '/o.npy', np.array([{}], dtype=object), allow_pickle=True)
assert 'pickled Python objects' in read('o.csv'), read('o.csv')
`);
      await at.shellOutput('cp $M/activations/run/y.csv $T/copy.csv; rm -r $M/activations/run');
      assert.equal(await readFile(join(at.folder, 'copy.csv'), 'utf8'), 'True\nFalse\n');
      assert.deepEqual(await readdir(join(at.stateDirectory, 'activations')), []);
    });

    test('no symbolic link that somebody puts there leads anywhere', async (t) => {
      const at = await scene(t);
      await at.shellOutput('mkdir $M/activations/run; echo mine > $M/activations/run/file');
      const folder = join(at.stateDirectory, 'activations/run');
      const outside = join(at.folder, 'outside');
      await mkdir(outside);
      await writeFile(join(outside, 'secret'), 'secret');
      await symlink(join(outside, 'secret'), join(folder, 'link'));
      await symlink(join(outside, 'secret'), join(folder, 'array.npy'));
      await symlink(outside, join(folder, 'folder'));
      await at.python(`
folder = M + '/activations/run'
assert os.listdir(folder) == ['file']
def refused(action, *names):
    try: action()
    except OSError as error: assert errno.errorcode[error.errno] in names, error
    else: raise AssertionError('was not refused')
for name in ('link', 'array.npy', 'folder', 'folder/secret'):
    refused(lambda: os.open(folder + '/' + name, os.O_RDONLY), 'EPERM')
    refused(lambda: os.open(folder + '/' + name, os.O_WRONLY | os.O_CREAT), 'EPERM')
    refused(lambda: os.chmod(folder + '/' + name, 0o777), 'EPERM')
    refused(lambda: os.truncate(folder + '/' + name, 0), 'EPERM')
refused(lambda: os.open(folder + '/array.csv', os.O_RDONLY), 'ENOENT')
refused(lambda: os.mkdir(folder + '/folder/new'), 'EPERM')
`);
      // A folder that was looked up before it is replaced by a link.
      await at.python(`
folder = M + '/activations/run'
os.mkdir(folder + '/sub')
assert os.listdir(folder + '/sub') == []
host = T + '/model.pt.mlfs/activations/run'
os.rmdir(host + '/sub'); os.symlink(T + '/outside', host + '/sub')
for action in (lambda: os.open(folder + '/sub/secret', os.O_RDONLY), lambda: os.open(folder + '/sub/new', os.O_WRONLY | os.O_CREAT)):
    try: action()
    except OSError as error: assert errno.errorcode[error.errno] in ('EPERM', 'ENOENT', 'ESTALE'), error
    else: raise AssertionError('was not refused')
`);
      assert.deepEqual(await readdir(outside), ['secret']);
      assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'secret');
    });

    test('what was written is there after the next mount, and nothing is left of nothing', async (t) => {
      const at = await scene(t);
      await at.shellOutput('ls $M/activations; mkdir -p $M/activations/a/b; rm -r $M/activations/a');
      const second = await at.again(transport);
      assert.deepEqual(await readdir(at.folder), ['model.pt']);
      await second.shellOutput('mkdir $M/activations/run; echo kept > $M/activations/run/file');
      const third = await second.again(transport);
      assert.equal(await third.shellOutput('cat $M/activations/run/file'), 'kept\n');
      const readOnly = await third.again(transport, { readOnly: true });
      const rooms = (await readOnly.shellOutput('ls $M')).trim().split('\n');
      assert.ok(rooms.includes('model') && !rooms.includes('activations'));
    });

    test('activations stay through a reload, and more can be made after it', async (t) => {
      const at = await scene(t);
      const replace = async (value: number) => {
        const fill = new Uint8Array(16).fill(value);
        await writeTorchZip(join(at.folder, 'other.pt'), { tensors: [{ ...TENSORS[0], fill }] });
        await at.shellOutput('mv $T/other.pt $T/model.pt');
        assert.equal((await at.control('reload')).reloaded, true);
      };
      await at.shellOutput('mkdir $M/activations/gone; rmdir $M/activations/gone');
      await replace(1);
      await at.shellOutput('mkdir $M/activations/run; echo 1 > $M/activations/run/one');
      await replace(2);
      await at.shellOutput('echo 2 > $M/activations/run/two');
      assert.equal(await at.shellOutput('cat $M/activations/run/*'), '1\n2\n');
      const kept = join(at.stateDirectory, 'activations/run');
      assert.deepEqual((await readdir(kept)).sort(), ['one', 'two']);
    });

    test('the status says who serves the files', async (t) => {
      const at = await scene(t);
      await at.shellOutput('echo 1 > $M/activations/one; cat $M/activations/one');
      const { counters } = await at.status();
      if (transport === 'fuse-native') return;
      const able = passthrough === 'on' && process.getuid?.() === 0;
      assert.equal(counters.passthrough_opens_total, able ? 2 : 0);
      assert.equal(counters.plain_backed_opens_total, able ? 0 : 2);
    });
  });
}

describe('/activations, passed through', mountable('kernel', 'root'), () => {
  test('the kernel reads and writes files while our event loop stands still', async (t) => {
    const server = await Server.start();
    t.after(() => server.stop());
    const at = await WritableMount.create(t, server, 'kernel', TENSORS);
    const release = join(at.folder, 'release');
    const ready = join(at.folder, 'ready');
    const written = at.python(`
import time
fd = os.open(M + '/activations/file', os.O_RDWR | os.O_CREAT)
# The kernel asks once for a capability that a write would take away.
assert os.pwrite(fd, b'first', 0) == 5
open(T + '/ready', 'w').close()
while not os.path.exists(T + '/blocked'): time.sleep(0.01)
block = os.urandom(4 << 20)
assert os.pwrite(fd, block, 0) == len(block)
assert os.pread(fd, len(block), 0) == block
open(T + '/release', 'w').close()
`);
    await at.shellOutput('while [ ! -e $T/ready ]; do sleep 0.01; done');
    assert.equal(await readFile(ready, 'utf8'), '');
    await server.block(release);
    await writeFile(join(at.folder, 'blocked'), '');
    await written;
    await server.release(release);
  });

  test('files that do not lie on a plain file system are served by us, which is said', async (t) => {
    const below = await Server.start();
    const above = await Server.start();
    t.after(async () => {
      await above.stop();
      await below.stop();
    });
    const lower = await WritableMount.create(t, below, 'kernel', TENSORS);
    const stateDirectory = join(lower.path, 'activations/state');
    const upper = await WritableMount.create(t, above, 'kernel', TENSORS, { stateDirectory });
    await upper.shellOutput('echo 1 > $M/activations/one; echo 2 > $M/activations/two');
    assert.equal(await upper.shellOutput('cat $M/activations/*'), '1\n2\n');
    const { counters } = await upper.status();
    assert.equal(counters.passthrough_opens_total, 0);
    assert.equal(counters.plain_backed_opens_total, 4);
    const warnings = (await upper.log()).match(/not passed through to the kernel: ELOOP/g);
    assert.equal(warnings?.length, 1);
    assert.equal((await lower.status()).counters.plain_backed_opens_total, 0);
  });
});
