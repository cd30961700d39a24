/** Several programs at a time: writers of one tensor and of overlapping ones, locks, a second mount, commits under readers and writers. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import { type StorageToWrite, type TensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const BLOCK = 4096;
/** Of float32: 1 MiB in 512 rows. */
const ROWS = 512;
const COLUMNS = 512;
const SIZE = 4 * ROWS * COLUMNS;

/** One storage as a matrix, as its second half, as a band of columns and transposed: writes through one are writes to all. */
function views(): PyDict {
  const storage: StorageToWrite = {
    type: 'storage',
    dtype: 'float32',
    nbytes: SIZE,
    fill: Buffer.alloc(SIZE),
  };
  const view = (more: Omit<TensorToWrite, 'type' | 'dtype' | 'storage'>): TensorToWrite => ({
    type: 'tensor',
    dtype: 'float32',
    storage,
    ...more,
  });
  const root = new PyDict();
  root.set('whole', view({ shape: [ROWS, COLUMNS] }));
  root.set('half', view({ shape: [ROWS / 2, COLUMNS], storageOffset: (ROWS / 2) * COLUMNS }));
  root.set('band', view({ shape: [ROWS, 64], stride: [COLUMNS, 1], storageOffset: 100 }));
  root.set('transposed', view({ shape: [COLUMNS, ROWS], stride: [1, COLUMNS] }));
  return root;
}

for (const transport of TRANSPORTS) {
  describe(`several programs on a mount by ${transport}`, mountable(transport, 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    const flat = (t: TestContext, size: number) =>
      WritableMount.create(t, server, transport, [
        { name: 'weight', dtype: 'uint8', shape: [size], fill: Buffer.alloc(size) },
      ]);

    test('two writers of one tensor: every block is one of theirs, whole', async (t) => {
      const at = await flat(t, 64 * BLOCK);
      const writer = `
mark = int(args[0])
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
for round in range(20):
    for block in range(64):
        # Every third block is written by both.
        if block % 3 in (mark, 2): os.pwrite(fd, bytes([16 * mark + 16]) * 4096, 4096 * block)
os.fsync(fd)
`;
      await Promise.all([at.python(writer, 0), at.python(writer, 1)]);
      const bytes = await readFile(at.model('weight.bin'));
      for (let block = 0; block < 64; block++) {
        const first = bytes[block * BLOCK];
        const expected = block % 3 === 0 ? [16] : block % 3 === 1 ? [32] : [16, 32];
        assert.ok(expected.includes(first ?? -1), `block ${block} is ${first}`);
        assert.ok(
          bytes.subarray(block * BLOCK, (block + 1) * BLOCK).every((byte) => byte === first),
          `block ${block} is mixed`,
        );
      }
      assert.ok(bytes.equals(await readFile((await at.again(transport)).model('weight.bin'))));
    });

    test('writers of tied tensors and readers of them all come to an end, and all views agree', async (t) => {
      const at = await WritableMount.create(t, server, transport, { root: views() });
      const writer = `
import mmap, random
name, seed, mapped = args[0], int(args[1]), args[2] == 'mapped'
chance = random.Random(seed)
fd = os.open(f'{M}/model/{name}.bin', os.O_RDWR)
size = os.fstat(fd).st_size
area = mmap.mmap(fd, size) if mapped else None
for _ in range(150):
    length = chance.choice((4, 4096, 70000))
    offset = chance.randrange(0, size - length) // 4 * 4
    data = chance.randbytes(length)
    if mapped:
        area[offset:offset + length] = data
        area.flush()
    else: os.pwrite(fd, data, offset)
`;
      const reader = `
import mmap
files = {name: os.open(f'{M}/model/{name}.bin', os.O_RDONLY) for name in ('whole', 'half', 'band', 'transposed')}
areas = {name: mmap.mmap(fd, 0, prot=mmap.PROT_READ) for name, fd in files.items()}
for round in range(15):
    for name, fd in files.items():
        assert len(os.pread(fd, 1 << 21, 0)) == len(areas[name])
        assert len(areas[name][:]) == len(areas[name])
`;
      await Promise.all([
        at.python(writer, 'whole', 1, 'plain'),
        at.python(writer, 'half', 2, 'plain'),
        at.python(writer, 'transposed', 3, 'plain'),
        at.python(writer, 'band', 4, 'mapped'),
        at.python(writer, 'whole', 5, 'mapped'),
        at.python(reader),
        at.python(reader),
      ]);
      const agree = `
import numpy
read = lambda name: numpy.fromfile(f'{M}/model/{name}.bin', dtype='<u4')
whole = read('whole').reshape(${ROWS}, ${COLUMNS})
assert numpy.array_equal(read('half').reshape(-1, ${COLUMNS}), whole[${ROWS / 2}:])
assert numpy.array_equal(read('band').reshape(-1, 64), whole[:, 100:164])
assert numpy.array_equal(read('transposed').reshape(${COLUMNS}, ${ROWS}), whole.T)
`;
      await at.python(agree);
      const whole = await readFile(at.model('whole.bin'));
      assert.equal((await at.control('commit')).command, 'commit');
      const next = await at.again(transport);
      assert.ok(whole.equals(await readFile(next.model('whole.bin'))));
      await next.python(agree);
      await output('unzip', ['-tqq', at.checkpoint]);
    });

    test('a write through one name is there through every other, for who reads, maps or has it open', async (t) => {
      const at = await WritableMount.create(t, server, transport, { root: views() });
      await at.python(
        `
import mmap, struct
coherent = args[0] == 'kernel'
path = lambda name: f'{M}/model/{name}.bin'
opened = {name: os.open(path(name), os.O_RDWR) for name in ('whole', 'half', 'band', 'transposed')}
areas = {name: mmap.mmap(fd, 0) for name, fd in opened.items()}
for name in opened: assert areas[name][:] == bytes(len(areas[name]))
# Row 300, column 110 of the matrix.
place = {'whole': 300 * ${COLUMNS} + 110, 'half': 44 * ${COLUMNS} + 110, 'band': 300 * 64 + 10, 'transposed': 110 * ${ROWS} + 300}
for value, (name, fd) in enumerate(opened.items(), 1):
    data = struct.pack('<f', value)
    assert os.pwrite(fd, data, 4 * place[name]) == 4
    for other, at in place.items():
        anew = os.open(path(other), os.O_RDONLY)
        assert os.pread(anew, 4, 4 * at) == data, (name, other, 'opened anew')
        os.close(anew)
        if coherent:
            assert os.pread(opened[other], 4, 4 * at) == data, (name, other)
            assert areas[other][4 * at:4 * at + 4] == data, (name, other, 'mapped')
`,
        transport,
      );
    });

    test('appends of two programs to a scratch file and to the log are whole lines', async (t) => {
      const at = await flat(t, BLOCK);
      await writeFile(at.model('notes.txt'), '');
      const append =
        'for i in $(seq 200); do echo "$WHO $i" >> $M/model/notes.txt; echo "by $WHO $i" >> $M/logs/fuse.log; done';
      const env = (who: string) => ({ env: { ...process.env, WHO: who } });
      await Promise.all([at.shellOutput(append, env('one')), at.shellOutput(append, env('two'))]);
      const expected = ['one', 'two'].flatMap((who) =>
        Array.from({ length: 200 }, (_, index) => `${who} ${index + 1}`),
      );
      const lines = (await readFile(at.model('notes.txt'), 'utf8')).trimEnd().split('\n');
      assert.deepEqual(lines.sort(), expected.sort());
      // The kernel cuts an append at the end of a page of the log there.
      if (transport === 'fuse-native') return;
      const logged = (await at.log()).split('\n').filter((line) => line.startsWith('by '));
      assert.deepEqual(logged.sort(), expected.map((line) => `by ${line}`).sort());
    });

    test('flock and fcntl locks exclude two programs from one tensor', requires('flock'), async (t) => {
      const at = await flat(t, BLOCK);
      const tensor = at.model('weight.bin');
      const holder = spawn('flock', ['--exclusive', tensor, 'sh', '-c', 'echo held; read -r _'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = once(holder, 'exit');
      await once(holder.stdout, 'data');
      assert.equal((await run('flock', ['--nonblock', '--exclusive', tensor, 'true'])).code, 1);
      assert.equal((await run('flock', ['--nonblock', '--shared', tensor, 'true'])).code, 1);
      holder.stdin.end('\n');
      await ended;
      assert.equal((await run('flock', ['--nonblock', '--exclusive', tensor, 'true'])).code, 0);
      await at.python(`
import fcntl, subprocess
path = M + '/model/weight.bin'
attempt = '''
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, int(sys.argv[2]))
except BlockingIOError: print('refused')
else: print('locked')
'''
def other(start): return subprocess.run([sys.executable, '-c', attempt, path, str(start)], capture_output=True, text=True).stdout.strip()
fd = os.open(path, os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 10, 100)
assert other(105) == 'refused'
assert other(110) == 'locked'
fcntl.lockf(fd, fcntl.LOCK_UN, 10, 100)
assert other(105) == 'locked'
`);
    });

    test('a second read-write mount is refused and names the process that has the first', async (t) => {
      const at = await flat(t, BLOCK);
      const other = await Server.start();
      t.after(() => other.stop());
      const named = new RegExp(`\\b${server.pid}\\b`);
      await assert.rejects(other.mount(at.checkpoint, { transport }), named);
      // Also where there is a state directory by now.
      await at.shellOutput('echo 7 > $M/model/weight.bin');
      await assert.rejects(other.mount(at.checkpoint, { transport }), named);
      await assert.rejects(server.mount(at.checkpoint, { transport }), named);

      const beside = await other.mount(at.checkpoint, { transport, readOnly: true });
      const shown = await readFile(join(beside.path, 'model/weight.bin'));
      assert.ok(shown.equals(Buffer.alloc(BLOCK)), 'it shows the file, without the edits');
      const refused = await run('bash', ['-c', 'echo 1 > "$0"', join(beside.path, 'model/weight.bin')]);
      assert.match(refused.stderr, /Read-only file system/);

      await server.unmount(at.path);
      const { path } = await other.mount(at.checkpoint, { transport });
      assert.ok(
        (await readFile(join(path, 'model/weight.bin'))).equals(Buffer.alloc(BLOCK, 7)),
        'it took over the edits',
      );
    });

    test('a read during replacements and commits is one of the versions, never a mix', async (t) => {
      // What is staged passes through the kernel's pages of the file there.
      if (transport === 'fuse-native') return;
      const size = 96 * BLOCK;
      const at = await flat(t, size);
      const reader = `
import mmap, time
fd = os.open(M + '/model/weight.bin', os.O_RDONLY | os.O_DIRECT)
area = mmap.mmap(-1, 16 * 4096)
seen = set()
while not os.path.exists(T + '/done'):
    for offset in range(0, ${size}, 16 * 4096):
        # In the very moment of an open with O_TRUNC the kernel may take the file for empty.
        if os.preadv(fd, [area], offset) != 16 * 4096: continue
        values = set(area[:])
        assert len(values) == 1, (offset, sorted(values))
        seen |= values
print(len(seen))
`;
      const readers = [at.python(reader), at.python(reader)];
      const writer = `
for value in range(1, 25):
    data = bytes([value]) * ${size}
    fd = os.open(M + '/model/weight.bin', os.O_WRONLY | os.O_TRUNC)
    for at in range(0, ${size}, 50000): os.write(fd, data[at:at + 50000])
    os.close(fd)
    if value % 3 == 0:
        fd = os.open(M + '/sys/control', os.O_RDWR)
        os.write(fd, b'commit\\n')
        os.close(fd)
    if value % 8 == 7:
        fd = os.open(M + '/sys/control', os.O_RDWR)
        os.write(fd, b'discard\\n')
        os.close(fd)
`;
      try {
        await at.python(writer);
      } finally {
        await writeFile(join(at.folder, 'done'), '');
      }
      for (const seen of await Promise.all(readers)) assert.ok(Number(seen) >= 1);
      assert.ok((await readFile(at.model('weight.bin'))).equals(Buffer.alloc(size, 24)));
      assert.ok((await readFile(at.checkpoint)).includes(Buffer.alloc(size, 24)));
    });

    test('writing goes on during commits, and nothing of it is lost', async (t) => {
      const at = await flat(t, 256 * BLOCK);
      const writer = `
import random
mark = int(args[0])
chance = random.Random(mark)
fd = os.open(M + '/model/weight.bin', os.O_RDWR)
wanted = bytearray(128 * 4096)
for _ in range(400):
    offset, data = chance.randrange(128 * 4096 - 9000), chance.randbytes(chance.randint(1, 9000))
    wanted[offset:offset + len(data)] = data
    os.pwrite(fd, data, mark * 128 * 4096 + offset)
assert os.pread(fd, len(wanted), mark * 128 * 4096) == wanted
open(f'{T}/wanted{mark}', 'wb').write(wanted)
`;
      let done = false;
      const writers = Promise.all([at.python(writer, 0), at.python(writer, 1)]).finally(() => {
        done = true;
      });
      let commits = 0;
      while (!done) {
        await at.control('commit');
        commits++;
      }
      await writers;
      t.diagnostic(`${transport}: ${commits} commits under two writers`);
      await at.control('commit');
      const wanted = Buffer.concat(
        await Promise.all(['0', '1'].map((mark) => readFile(join(at.folder, `wanted${mark}`)))),
      );
      assert.ok(wanted.equals(await readFile(at.model('weight.bin'))));
      await server.unmount(at.path);
      assert.ok((await readFile(at.checkpoint)).includes(wanted));
      await output('unzip', ['-tqq', at.checkpoint]);
    });

    test('a checkpoint that is replaced while it has edits keeps them and refuses the commit', async (t) => {
      const at = await flat(t, BLOCK);
      await at.shellOutput('echo 7 > $M/model/weight.bin');
      await writeTorchZip(join(at.folder, 'other.pt'), {
        tensors: [{ name: 'weight', dtype: 'uint8', shape: [BLOCK], fill: Buffer.alloc(BLOCK, 3) }],
      });
      // As old as the edit: libfuse tells other bytes by size and mtime alone.
      await at.shellOutput('touch -r $M/model/weight.bin $T/other.pt && mv $T/other.pt $T/model.pt');
      const other = await readFile(at.checkpoint);
      const refused = await at.shell('echo commit > $M/sys/control');
      assert.match(refused.stderr, /Stale file handle/);
      assert.ok((await readFile(at.model('weight.bin'))).equals(Buffer.alloc(BLOCK, 7)));
      assert.ok(other.equals(await readFile(at.checkpoint)), 'the new file is not touched');
      const blocked = await at.shell('echo reload > $M/sys/control');
      assert.notEqual(blocked.code, 0);
      await at.control('discard');
      await at.control('reload');
      assert.ok((await readFile(at.model('weight.bin'))).equals(Buffer.alloc(BLOCK, 3)));
    });
  });
}
