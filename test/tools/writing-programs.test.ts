/** Ordinary programs that write a mounted checkpoint: each does what it does to a file, or fails with an errno and changes nothing. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { DEBIAN_PYTHON, requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

/** 3 MiB and a bit: many pages, several requests, no power of two. */
const ROWS = 769;
const COLUMNS = 1031;
const WEIGHT = Buffer.from(Float32Array.from({ length: ROWS * COLUMNS }, (_, index) => index / 7).buffer);
const BIAS = Buffer.from(Float32Array.from({ length: 100 }, (_, index) => -index).buffer);

/** Where two buffers of one size differ: [start, end) of each run. */
function differences(before: Buffer, after: Buffer): [start: number, end: number][] {
  assert.equal(after.length, before.length);
  const runs: [number, number][] = [];
  for (let at = 0; at < before.length; at++) {
    if (before[at] === after[at]) continue;
    const last = runs.at(-1);
    if (last?.[1] === at) last[1] = at + 1;
    else runs.push([at, at + 1]);
  }
  return runs;
}

/** Loads args[0] with torch in every way that this torch has, and finds args[1] at state dict entry args[2], index args[3]. */
const TORCH_FINDS = `
import inspect, torch
path, wanted, name, index = args[0], float(args[1]), args[2], int(args[3])
ways = [{}]
if 'mmap' in inspect.signature(torch.load).parameters: ways.append({'mmap': True})
if 'weights_only' in inspect.signature(torch.load).parameters: ways.append({'weights_only': True})
for way in ways:
    found = torch.load(path, **way)[name].reshape(-1)[index].item()
    assert found == wanted, (way, found, wanted)
print(len(ways))
`;

/** Python's zipfile reads every entry and compares its CRC. */
const ZIPFILE_AGREES = `
import zipfile
with zipfile.ZipFile(args[0]) as archive: assert archive.testzip() is None, archive.testzip()
`;

for (const transport of TRANSPORTS) {
  describe(`programs that write a mount by ${transport}`, mountable(transport, 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    const TENSORS = [
      { name: 'fc.weight', dtype: 'float32', shape: [ROWS, COLUMNS], fill: WEIGHT },
      { name: 'fc.bias', dtype: 'float32', shape: [100], fill: BIAS },
      { name: 'steps', dtype: 'int64', shape: [], fill: Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]) },
    ] as const;
    const scene = (t: TestContext) => WritableMount.create(t, server, transport, TENSORS);

    const bias = (at: WritableMount) => readFile(at.model('fc/bias.bin'));
    const weight = (at: WritableMount) => readFile(at.model('fc/weight.bin'));

    /** The bytes of a tensor with some of them replaced. */
    function patched(bytes: Buffer, offset: number, patch: Uint8Array): Buffer {
      const copy = Buffer.from(bytes);
      copy.set(patch, offset);
      return copy;
    }

    test(
      'dd changes one float: the export has it at once, the file when it is committed',
      requires('python3-torch', 'unzip'),
      async (t) => {
        const at = await scene(t);
        const saved = await readFile(at.checkpoint);
        const exported = join(at.path, 'export/model.pt');
        assert.ok(saved.equals(await readFile(exported)));
        // torch maps and keeps pages of it: they must not outlive the edit.
        await at.python(TORCH_FINDS, exported, -3, 'fc.bias', 3);

        const one = Buffer.from(Float32Array.of(1).buffer);
        await at.shellOutput(
          `printf '\\x00\\x00\\x80\\x3f' | dd of=$M/model/fc/bias.bin bs=4 seek=3 conv=notrunc status=none`,
        );
        const edited = patched(BIAS, 12, one);
        assert.ok(edited.equals(await bias(at)));
        await at.python(TORCH_FINDS, exported, 1, 'fc.bias', 3);
        await at.python(ZIPFILE_AGREES, exported);
        await output('unzip', ['-tqq', exported]);
        assert.ok(saved.equals(await readFile(at.checkpoint)), 'the file is untouched until the commit');

        const status = await runMlfs(['status', at.path]);
        assert.equal(status.code, 0, status.stderr);
        assert.match(status.stdout.toString(), /fc\.bias/);
        assert.doesNotMatch(status.stdout.toString(), /fc\.weight/);
        const document = await at.status();
        // -3 is 00 00 40 c0 and 1 is 00 00 80 3f: two bytes of four differ.
        assert.equal(document.dirty_bytes, 2);
        assert.deepEqual(
          document.dirty_tensors.map(({ name, bytes }) => [name, bytes]),
          [['fc.bias', 2]],
        );

        const dirtyExport = await readFile(exported);
        const committed = await runMlfs(['commit', at.path]);
        assert.equal(committed.code, 0, committed.stderr);
        const now = await readFile(at.checkpoint);
        assert.ok(now.equals(dirtyExport), 'the commit wrote what the export showed');
        assert.equal((await at.status()).dirty_bytes, 0);

        const offset = Number(
          await output('getfattr', [
            '--absolute-names',
            '--only-values',
            '-n',
            'user.mlfs.offset',
            at.model('fc/bias.bin'),
          ]),
        );
        const changed = differences(saved, now);
        assert.deepEqual(changed[0], [offset + 14, offset + 16]);
        // All else is the entry's CRC-32, wherever the archive has it.
        const checksums = await at.python(
          `
import struct, zipfile
now = open(args[0], 'rb').read()
with zipfile.ZipFile(args[0]) as archive:
    [entry] = [entry for entry in archive.infolist() if entry.filename.endswith('/data/1')]
crc = struct.pack('<I', entry.CRC)
print(json.dumps([at for at in range(len(now)) if now.startswith(crc, at)]))
`,
          at.checkpoint,
        );
        const places: number[] = JSON.parse(checksums);
        for (const [start, end] of changed.slice(1)) {
          assert.ok(
            places.some((place) => place <= start && end <= place + 4),
            `bytes ${start} to ${end} are no checksum of the entry at ${places}`,
          );
        }
        assert.ok(places.length >= 1 && changed.length >= 2);
        await at.python(TORCH_FINDS, at.checkpoint, 1, 'fc.bias', 3);
        await at.python(ZIPFILE_AGREES, at.checkpoint);
        await output('unzip', ['-tqq', at.checkpoint]);
        const verified = await runMlfs(['verify', at.checkpoint]);
        assert.equal(verified.code, 0, verified.stderr);
      },
    );

    test('a discarded edit leaves the file and the mount as they were', async (t) => {
      const at = await scene(t);
      const saved = await readFile(at.checkpoint);
      await at.shellOutput(
        'echo 1.5 > $M/model/fc/bias.bin; dd if=/dev/urandom of=$M/model/fc/weight.bin bs=4096 count=9 conv=notrunc status=none',
      );
      assert.ok(!BIAS.equals(await bias(at)));
      const discarded = await runMlfs(['discard', at.path]);
      assert.equal(discarded.code, 0, discarded.stderr);
      assert.ok(BIAS.equals(await bias(at)));
      assert.ok(WEIGHT.equals(await weight(at)));
      assert.ok(saved.equals(await readFile(at.checkpoint)));
      assert.equal((await at.status()).dirty_bytes, 0);
      assert.match(await at.log(), /level=info msg=discarded bytes=\d+ ranges=\d+$/m);
    });

    const REPLACING: Readonly<Record<string, string>> = {
      cp: 'cp $T/new.bin $M/model/fc/weight.bin',
      'cp -f': 'cp -f $T/new.bin $M/model/fc/weight.bin',
      'cp --no-preserve=all --reflink=never':
        'cp --reflink=never --no-preserve=all $T/new.bin $M/model/fc/weight.bin',
      'cp -p': 'cp -p $T/new.bin $M/model/fc/weight.bin',
      'cat >': 'cat $T/new.bin > $M/model/fc/weight.bin',
      tee: 'tee $M/model/fc/weight.bin < $T/new.bin > /dev/null',
      dd: 'dd if=$T/new.bin of=$M/model/fc/weight.bin bs=123457 status=none',
      'dd conv=notrunc': 'dd if=$T/new.bin of=$M/model/fc/weight.bin bs=1M conv=notrunc status=none',
      'dd conv=notrunc,fsync':
        'dd if=$T/new.bin of=$M/model/fc/weight.bin bs=64k conv=notrunc,fsync status=none',
      'dd oflag=direct conv=notrunc':
        'dd if=$T/new.bin of=$M/model/fc/weight.bin bs=4096 oflag=direct conv=notrunc status=none iflag=fullblock',
      'mv over it':
        'cp $T/new.bin $M/model/fc/next.bin; mv $M/model/fc/next.bin $M/model/fc/weight.bin; test ! -e $M/model/fc/next.bin',
      'a redirection that is written in small pieces':
        "python3 -c 'import os; [os.write(1, b) for b in iter(lambda: os.read(0, 9991), bytes())]' < $T/new.bin > $M/model/fc/weight.bin",
      'a redirection that does not cut the file': 'cat $T/new.bin 1<> $M/model/fc/weight.bin',
    };
    for (const [name, script] of Object.entries(REPLACING)) {
      test(`${name} replaces a tensor`, async (t) => {
        const at = await scene(t);
        const wanted = Buffer.from(WEIGHT.map((byte, index) => (index % 1000 < 10 ? byte ^ 0x55 : byte)));
        await writeFile(join(at.folder, 'new.bin'), wanted);
        // Pages of the old bytes are in the kernel.
        assert.ok(WEIGHT.equals(await weight(at)));
        await at.shellOutput(script);
        assert.ok(wanted.equals(await weight(at)));
        const { dirty_bytes } = await at.status();
        assert.equal(dirty_bytes, wanted.filter((byte, index) => byte !== WEIGHT[index]).length);
        const next = await at.again(transport);
        assert.ok(wanted.equals(await weight(next)));
      });
    }

    const EQUAL: Readonly<Record<string, string>> = {
      cp: 'cp $T/same/fc/weight.bin $M/model/fc/weight.bin',
      'cp -r': 'cp -r $T/same/. $M/model/',
      'cp -a': 'cp -a $T/same/. $M/model/',
      'cat >': 'cat $T/same/fc/weight.bin > $M/model/fc/weight.bin',
      'dd conv=notrunc':
        'dd if=$T/same/fc/weight.bin of=$M/model/fc/weight.bin bs=1M conv=notrunc status=none',
      touch: 'touch $M/model/fc/weight.bin',
      'truncate to its size': `truncate -s ${WEIGHT.length} $M/model/fc/weight.bin`,
      'chmod and chown': 'chmod 600 $M/model/fc/weight.bin; chown $(id -u):$(id -g) $M/model/fc/weight.bin',
    };
    for (const [name, script] of Object.entries(EQUAL)) {
      test(`${name} of equal bytes journals nothing, and makes no state directory`, async (t) => {
        const at = await scene(t);
        await output('cp', ['-r', at.model(), join(at.folder, 'same')]);
        await at.shellOutput(script);
        assert.ok(WEIGHT.equals(await weight(at)));
        const { dirty_bytes, journal } = await at.status();
        assert.deepEqual([dirty_bytes, journal?.bytes], [0, 0]);
        assert.notEqual((await run('test', ['-e', at.stateDirectory])).code, 0);
      });
    }

    const REFUSED: Readonly<Record<string, readonly [script: string, says: RegExp]>> = {
      'cp of a longer file': ['cp $T/long $M/model/fc/bias.bin', /File too large|Invalid argument/],
      'cp of a shorter file': ['cp $T/short $M/model/fc/bias.bin', /Invalid argument/],
      'cat > of a shorter file': ['cat $T/short > $M/model/fc/bias.bin', /Invalid argument|close failed/],
      'dd of a shorter file': ['dd if=$T/short of=$M/model/fc/bias.bin status=none', /Invalid argument/],
      'dd past the end': [
        'dd if=$T/short of=$M/model/fc/bias.bin bs=400 seek=1 conv=notrunc status=none',
        /File too large/,
      ],
      'dd across the end': [
        'dd if=$T/short of=$M/model/fc/bias.bin bs=200 seek=399 oflag=seek_bytes conv=notrunc status=none',
        /File too large/,
      ],
      'an append': ['echo more >> $M/model/fc/bias.bin', /File too large/],
      'truncate to half': [
        'truncate -s 200 $M/model/fc/bias.bin',
        /Operation not permitted|Invalid argument/,
      ],
      'truncate to more': ['truncate -s 4000 $M/model/fc/bias.bin', /File too large/],
      'fallocate of more': ['fallocate -l 4000 $M/model/fc/bias.bin', /not supported|File too large/],
      // Of EINVAL mv says something else than strerror(3).
      'mv of a shorter file over it': [
        'cp $T/short $M/model/fc/x; mv $M/model/fc/x $M/model/fc/bias.bin',
        /Invalid argument|to a subdirectory of itself/,
      ],
      'mv of a shorter file from another file system': [
        'mv -f $T/short $M/model/fc/bias.bin',
        /Invalid argument/,
      ],
      'tar x of a shorter file': [
        'mkdir -p $T/s/fc; cp $T/short $T/s/fc/bias.bin; tar cf $T/a.tar -C $T/s fc/bias.bin; tar xf $T/a.tar -C $M/model',
        /Invalid argument/,
      ],
      'tar x of a longer file': [
        'mkdir -p $T/s/fc; cp $T/long $T/s/fc/bias.bin; tar cf $T/a.tar -C $T/s fc/bias.bin; tar xf $T/a.tar -C $M/model',
        /File too large|Invalid argument/,
      ],
      'mv away': ['mv $M/model/fc/bias.bin $M/model/fc/other.bin', /Operation not permitted/],
      'rm -r of a layer': ['rm -rf $M/model/fc', /Operation not permitted/],
      'rmdir of a layer': ['rmdir $M/model/fc', /not permitted|not empty/],
      'mv of a layer': ['mv $M/model/fc $M/model/fd', /Operation not permitted/],
      ln: ['ln $M/model/fc/bias.bin $M/model/fc/link.bin', /Operation not permitted/],
      'ln -s': ['ln -s bias.bin $M/model/fc/link.bin', /Operation not permitted/],
      mkfifo: ['mkfifo $M/model/fc/pipe', /Operation not permitted/],
      'a text that is no number': ['/bin/echo zero > $M/model/fc/bias.bin', /Invalid argument|write error/],
      'a fraction for an integer': ['/bin/echo 1.5 > $M/model/steps.bin', /Invalid argument|write error/],
      'install of a shorter file': ['install -m 600 $T/short $M/model/fc/bias.bin', /Invalid argument/],
      'cp --remove-destination of a shorter file': [
        'cp --remove-destination $T/short $M/model/fc/bias.bin',
        /Invalid argument/,
      ],
      'a file in the root': [
        'echo x > $M/new',
        /Permission denied|Operation not permitted|Read-only file system/,
      ],
      'a file in /sys': [
        'echo x > $M/sys/new',
        /Permission denied|Operation not permitted|Read-only file system/,
      ],
      'writing /sys/version': [
        'echo x > $M/sys/version',
        /Permission denied|Operation not permitted|Read-only file system/,
      ],
      'writing the export': [
        'dd if=$T/short of=$M/export/model.pt conv=notrunc status=none',
        /Permission denied|Operation not permitted|Read-only file system/,
      ],
    };
    for (const [name, [script, says]] of Object.entries(REFUSED)) {
      test(`${name} is refused with a clear error and changes nothing`, async (t) => {
        const at = await scene(t);
        await writeFile(join(at.folder, 'long'), Buffer.alloc(401, 1));
        await writeFile(join(at.folder, 'short'), Buffer.alloc(399, 1));
        const refused = await at.shell(script);
        assert.ok(BIAS.equals(await bias(at)));
        assert.ok(WEIGHT.equals(await weight(at)));
        const { dirty_bytes, journal } = await at.status();
        assert.deepEqual([dirty_bytes, journal?.bytes], [0, 0]);
        assert.match(refused.stderr, says);
      });
    }

    /** Programs that remove a file and make it again, of $T/s, which holds `fc/bias.bin`. */
    const REMADE: Readonly<Record<string, string>> = {
      'tar x': 'tar cf $T/a.tar -C $T/s fc/bias.bin; tar xf $T/a.tar -C $M/model',
      'tar x --unlink-first':
        'tar cf $T/a.tar -C $T/s fc/bias.bin; tar xf $T/a.tar --unlink-first -C $M/model',
      'unzip -o': '(cd $T/s; zip -q ../a.zip fc/bias.bin); unzip -oq $T/a.zip -d $M/model',
      install: 'install -m 644 $T/s/fc/bias.bin $M/model/fc/bias.bin',
      'cp --remove-destination': 'cp --remove-destination $T/s/fc/bias.bin $M/model/fc/bias.bin',
      'mv from another file system': 'mv -f $T/s/fc/bias.bin $M/model/fc/bias.bin',
      'git checkout -- FILE': `
        cd $T/s; git init -q .; git add -A; git -c user.name=n -c user.email=e@x.org commit -qm all
        git --git-dir=$T/s/.git --work-tree=$M/model checkout -- fc/bias.bin`,
      'rm and cp':
        'rm $M/model/fc/bias.bin; test ! -e $M/model/fc/bias.bin; cp $T/s/fc/bias.bin $M/model/fc/',
    };
    for (const [name, script] of Object.entries(REMADE)) {
      test(`${name} replaces a tensor`, requires('git', 'unzip', 'zip'), async (t) => {
        const at = await scene(t);
        const wanted = Buffer.alloc(400, 1);
        await mkdir(join(at.folder, 's/fc'), { recursive: true });
        await writeFile(join(at.folder, 's/fc/bias.bin'), wanted);
        const names = await output('ls', ['-fR', at.model()]);
        await at.shellOutput(`set -e; ${script}`);
        assert.ok(wanted.equals(await bias(at)));
        assert.ok(WEIGHT.equals(await weight(at)));
        assert.equal(await output('ls', ['-fR', at.model()]), names);
        const committed = await at.again(transport);
        assert.ok(wanted.equals(await bias(committed)), 'and the next mount has it');
      });
    }

    test('a shell that ends a redirection hears of the wrong size, and the log says why', async (t) => {
      const at = await scene(t);
      const script = `
fd = os.open(M + '/model/fc/bias.bin', os.O_WRONLY | os.O_TRUNC)
os.write(fd, b'x' * 399)
try: os.close(fd)
except OSError as error: print(errno.errorcode[error.errno])
`;
      assert.equal((await at.python(script)).trim(), 'EINVAL');
      assert.match(await at.log(), /level=warn[^\n]*bias\.bin[^\n]*399/);
      assert.ok(BIAS.equals(await bias(at)));
    });

    test('readers see the old bytes until a replacement is closed, and never a mix', async (t) => {
      const at = await scene(t);
      const script = `
# Without notifications the kernel keeps what is staged among the pages of the file.
coherent = args[0] == 'kernel'
path = M + '/model/fc/weight.bin'
old = open(path, 'rb').read()
new = bytes(b ^ 0xff for b in old)
fd = os.open(path, os.O_RDWR | os.O_TRUNC)
os.write(fd, new[:len(new) // 2])
assert not coherent or open(path, 'rb').read() == old
os.write(fd, new[len(new) // 2:])
os.fsync(fd)
assert not coherent or open(path, 'rb').read() == old
assert os.pread(fd, len(new), 0) == new, 'the writer reads what it wrote'
os.close(fd)
assert open(path, 'rb').read() == new
`;
      await at.python(script, transport);
    });

    test('the last of several programs that share a redirection makes it whole, the others hear that it is not', async (t) => {
      const at = await scene(t);
      await writeFile(join(at.folder, 'first'), WEIGHT.subarray(1_000_000));
      await writeFile(join(at.folder, 'second'), WEIGHT.subarray(0, 1_000_000));
      const shared = await at.shell('(cat $T/first; cat $T/second) > $M/model/fc/weight.bin');
      assert.equal(shared.code, 0);
      assert.match(shared.stderr, /^cat: .*Invalid argument\n$/);
      assert.ok(
        Buffer.concat([WEIGHT.subarray(1_000_000), WEIGHT.subarray(0, 1_000_000)]).equals(await weight(at)),
      );
    });

    test('a shell that does not look at what close(2) answers says nothing, but the log does', async (t) => {
      const at = await scene(t);
      await at.shellOutput('echo zero > $M/model/fc/bias.bin');
      assert.ok(BIAS.equals(await bias(at)));
      assert.match(await at.log(), /level=warn[^\n]*bias\.bin[^\n]*5 bytes/);
    });

    const NUMBERS: readonly (readonly [script: string, tensor: string, wanted: Buffer])[] = [
      ['echo 0.0 > $M/model/fc/bias.bin', 'fc/bias.bin', Buffer.alloc(400)],
      [
        'printf 1.5 > $M/model/fc/bias.bin',
        'fc/bias.bin',
        Buffer.from(new Float32Array(100).fill(1.5).buffer),
      ],
      [
        'echo -2e3 | tee $M/model/fc/bias.bin > /dev/null',
        'fc/bias.bin',
        Buffer.from(new Float32Array(100).fill(-2000).buffer),
      ],
      [
        'echo nan > $M/model/fc/bias.bin',
        'fc/bias.bin',
        Buffer.from(new Float32Array(100).fill(Number.NaN).buffer),
      ],
      ['echo -1 > $M/model/steps.bin', 'steps.bin', Buffer.alloc(8, 0xff)],
      ['echo 0 > $M/model/fc/weight.bin', 'fc/weight.bin', Buffer.alloc(WEIGHT.length)],
    ];
    for (const [script, tensor, wanted] of NUMBERS) {
      test(`${script} fills the tensor`, async (t) => {
        const at = await scene(t);
        await at.shellOutput(script);
        assert.ok(wanted.equals(await readFile(at.model(tensor))));
      });
    }

    test('a redirection that writes nothing changes nothing', async (t) => {
      const at = await scene(t);
      await at.shellOutput(': > $M/model/fc/bias.bin');
      assert.ok(BIAS.equals(await bias(at)));
      assert.equal((await at.status()).dirty_bytes, 0);
    });

    test('install, cp -r and mkdir make scratch files that live until the unmount', async (t) => {
      const at = await scene(t);
      await mkdir(join(at.folder, 'more/deep'), { recursive: true });
      await writeFile(join(at.folder, 'more/deep/a.txt'), 'a');
      await at.shellOutput(`
        install -m 640 $T/more/deep/a.txt $M/model/fc/a.txt
        cp -r $T/more $M/model/
        mkdir -p $M/model/notes/today
        echo b > $M/model/notes/today/b.txt
        cat $M/model/fc/a.txt $M/model/more/deep/a.txt $M/model/notes/today/b.txt > $T/all
        rm -r $M/model/more
        test ! -e $M/model/more
      `);
      assert.equal(await readFile(join(at.folder, 'all'), 'utf8'), 'aab\n');
      assert.equal((await at.status()).dirty_bytes, 0);
      const next = await at.again(transport);
      await assert.rejects(readFile(next.model('fc/a.txt')), { code: 'ENOENT' });
      await assert.rejects(readFile(next.model('notes/today/b.txt')), { code: 'ENOENT' });
    });

    const PYTHON: Readonly<Record<string, string>> = {
      "open(path, 'r+b')": `
with open(path, 'r+b') as file:
    file.seek(5000)
    file.write(patch)
`,
      'os.pwrite and os.fsync': `
fd = os.open(path, os.O_RDWR)
assert os.pwrite(fd, patch, 5000) == len(patch)
os.fsync(fd)
os.close(fd)
`,
      'os.pwritev': `
fd = os.open(path, os.O_WRONLY)
assert os.pwritev(fd, [patch[:7], patch[7:]], 5000) == len(patch)
os.close(fd)
`,
      'a shared mapping': `
import mmap
with open(path, 'r+b') as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[5000:5000 + len(patch)] = patch
    mapped.flush()
`,
      'a shared mapping without flush': `
import mmap
with open(path, 'r+b') as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[5000:5000 + len(patch)] = patch
`,
      'shutil.copyfile': `
import shutil
open(T + '/new', 'wb').write(wanted)
shutil.copyfile(T + '/new', path)
`,
      'shutil.copy2': `
import shutil
open(T + '/new', 'wb').write(wanted)
shutil.copy2(T + '/new', path)
`,
      'os.replace': `
open(path + '.tmp', 'wb').write(wanted)
os.replace(path + '.tmp', path)
assert not os.path.exists(path + '.tmp')
`,
      'pathlib.Path.write_bytes': `
import pathlib
pathlib.Path(path).write_bytes(wanted)
`,
    };
    for (const [name, script] of Object.entries(PYTHON)) {
      test(`Python's ${name} writes a tensor`, async (t) => {
        const at = await scene(t);
        await at.python(`
path = M + '/model/fc/weight.bin'
before = open(path, 'rb').read()
patch = bytes(255 - b for b in before[5000:15000])
wanted = before[:5000] + patch + before[15000:]
${script}
after = open(path, 'rb').read()
assert after == wanted, next(i for i in range(len(wanted)) if after[i:i+1] != wanted[i:i+1])
`);
        assert.equal((await at.status()).dirty_bytes, 10_000);
        await at.python(ZIPFILE_AGREES, join(at.path, 'export/model.pt'));
      });
    }

    test(
      'numpy writes a tensor: memmap with flush, tofile, save over views',
      requires('python3-numpy'),
      async (t) => {
        const at = await scene(t);
        await at.python(
          `
import numpy
path, rows, columns = M + '/model/fc/weight.bin', int(args[0]), int(args[1])
wanted = numpy.fromfile(path, dtype='<f4').reshape(rows, columns)
mapped = numpy.memmap(path, dtype='<f4', mode='r+', shape=(rows, columns))
mapped[17] *= 2; wanted[17] *= 2
mapped[:, 5] = -1; wanted[:, 5] = -1
mapped.flush()
assert numpy.array_equal(numpy.fromfile(path, dtype='<f4').reshape(rows, columns), wanted)
part = numpy.memmap(path, dtype='<f4', mode='r+', offset=4 * columns * 500, shape=(3, columns))
part[1, 1:4] = 9; wanted[501, 1:4] = 9
part.flush()
assert numpy.array_equal(mapped, wanted)
del mapped, part
wanted += 1
wanted.tofile(path)
assert numpy.array_equal(numpy.fromfile(path, dtype='<f4').reshape(rows, columns), wanted)
with open(path, 'r+b') as file:
    file.seek(4 * columns)
    numpy.zeros(columns, dtype='<f4').tofile(file)
wanted[1] = 0
assert numpy.array_equal(numpy.fromfile(path, dtype='<f4').reshape(rows, columns), wanted)
`,
          ROWS,
          COLUMNS,
        );
      },
    );

    test(
      'torch.from_file(shared=True) writes a tensor through its mapping',
      requires('python3-torch'),
      async (t) => {
        const at = await scene(t);
        await at.python(
          `
import gc, torch
path, count = M + '/model/fc/weight.bin', int(args[0])
shared = torch.from_file(path, shared=True, size=count, dtype=torch.float32)
wanted = shared.clone()
shared[1000:3000] *= -1
wanted[1000:3000] *= -1
del shared; gc.collect()
assert torch.equal(torch.from_file(path, shared=False, size=count, dtype=torch.float32), wanted)
found = torch.load(M + '/export/model.pt')['fc.weight'].reshape(-1)
assert torch.equal(found, wanted)
`,
          ROWS * COLUMNS,
        );
        const committed = await runMlfs(['commit', at.path]);
        assert.equal(committed.code, 0, committed.stderr);
        await at.python(TORCH_FINDS, at.checkpoint, Math.fround(-1500 / 7), 'fc.weight', 1500);
      },
    );

    test(
      'a commit on a checkpoint that is not mounted any more takes the edits in',
      requires('python3-torch'),
      async (t) => {
        const at = await scene(t);
        await at.shellOutput('echo 2.5 > $M/model/fc/bias.bin');
        const saved = await readFile(at.checkpoint);
        await server.unmount(at.path);
        assert.ok(saved.equals(await readFile(at.checkpoint)));
        const status = await runMlfs(['status', at.checkpoint]);
        assert.match(status.stdout.toString(), /fc\.bias/);
        const committed = await runMlfs(['commit', at.checkpoint]);
        assert.equal(committed.code, 0, committed.stderr);
        await at.python(TORCH_FINDS, at.checkpoint, 2.5, 'fc.bias', 99);
        await at.python(ZIPFILE_AGREES, at.checkpoint);
      },
    );

    test(
      'mlfs commit --to writes a copy and leaves the file and the edits',
      requires('python3-torch'),
      async (t) => {
        const at = await scene(t);
        await at.shellOutput('echo 2.5 > $M/model/fc/bias.bin');
        const saved = await readFile(at.checkpoint);
        const copy = join(at.folder, 'new.pt');
        const committed = await runMlfs(['commit', at.path, '--to', copy]);
        assert.equal(committed.code, 0, committed.stderr);
        assert.ok(saved.equals(await readFile(at.checkpoint)));
        assert.ok((await readFile(copy)).equals(await readFile(join(at.path, 'export/model.pt'))));
        await at.python(TORCH_FINDS, copy, 2.5, 'fc.bias', 50);
        assert.ok((await at.status()).dirty_bytes > 0);
      },
    );

    test('a read-only mount refuses every write and makes no state directory', async (t) => {
      const at = await WritableMount.create(t, server, transport, TENSORS, { readOnly: true });
      for (const script of [
        'echo 0 > $M/model/fc/bias.bin',
        'touch $M/model/fc/new',
        'mkdir $M/model/d',
        'rm -f $M/model/fc/bias.bin',
      ]) {
        const refused = await at.shell(script);
        assert.notEqual(refused.code, 0, script);
        assert.match(refused.stderr, /Read-only file system/);
      }
      assert.ok(BIAS.equals(await bias(at)));
      assert.notEqual((await run('test', ['-e', at.stateDirectory])).code, 0);
    });

    test('a gradient is written, kept across mounts, and no larger than its tensor', async (t) => {
      const at = await scene(t);
      const script = `
path = M + '/model/fc/bias.grad'
fd = os.open(path, os.O_RDWR)
os.pwrite(fd, b'tail', 396)
assert os.fstat(fd).st_size == 400
assert os.pread(fd, 400, 0) == bytes(396) + b'tail'
try: os.pwrite(fd, b'tails', 396)
except OSError as error: assert errno.errorcode[error.errno] == 'EFBIG', error
else: raise AssertionError('written beyond the end')
os.fsync(fd)
os.close(fd)
`;
      await at.python(script);
      const next = await at.again(transport);
      assert.ok(
        (await readFile(next.model('fc/bias.grad'))).equals(
          Buffer.concat([Buffer.alloc(396), Buffer.from('tail')]),
        ),
      );
      await output('truncate', ['-s', '0', next.model('fc/bias.grad')]);
      assert.equal((await readFile(next.model('fc/bias.grad'))).length, 0);
      assert.equal((await next.status()).dirty_bytes, 0);
      assert.notEqual(
        (
          await run(DEBIAN_PYTHON, [
            '-c',
            'import sys; open(sys.argv[1], "r+b").truncate(401)',
            next.model('fc/bias.grad'),
          ])
        ).code,
        0,
      );
    });

    test('a copy of the whole checkpoint out of the export is the committed file', async (t) => {
      const at = await scene(t);
      await at.shellOutput(
        'echo 3 > $M/model/fc/bias.bin; echo 9 > $M/model/steps.bin; cp $M/export/model.pt $T/copy.pt',
      );
      await copyFile(at.checkpoint, join(at.folder, 'saved.pt'));
      assert.equal((await at.control('commit')).command, 'commit');
      await output('cmp', [join(at.folder, 'copy.pt'), at.checkpoint]);
      assert.notEqual((await run('cmp', ['-s', join(at.folder, 'saved.pt'), at.checkpoint])).code, 0);
    });
  });
}
