/** Ordinary programs on a mounted checkpoint: what they do on any directory they do here. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { DEBIAN_PYTHON, requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';

/** 3 MiB and a bit: many pages, several requests, no power of two. */
const ROWS = 769;
const COLUMNS = 1031;

function weightBytes(): Buffer {
  const values = Float32Array.from({ length: ROWS * COLUMNS }, (_, index) => Math.fround(index / 7));
  return Buffer.from(values.buffer);
}

for (const transport of TRANSPORTS) {
  describe(`programs on a read-only mount by ${transport}`, mountable(transport), () => {
    const weight = weightBytes();
    const bias = Buffer.from(Float64Array.from({ length: COLUMNS }, (_, index) => -index).buffer);
    let folder: string;
    let server: Server;
    let mount: string;
    /** The same tensors as ordinary files. */
    let plain: string;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'mlfs-programs-'));
      plain = join(folder, 'plain');
      await mkdir(plain);
      const checkpoint = join(folder, 'model.pt');
      await writeTorchZip(checkpoint, {
        tensors: [
          { name: 'layers.0.fc.weight', dtype: 'float32', shape: [ROWS, COLUMNS], fill: weight },
          { name: 'layers.0.fc.bias', dtype: 'float64', shape: [COLUMNS], fill: bias },
          { name: 'steps', dtype: 'int64', shape: [], fill: Buffer.from([1, 2, 3, 4, 5, 6, 7, 0]) },
        ],
      });
      server = await Server.start();
      ({ path: mount } = await server.mount(checkpoint, { transport, readOnly: true }));
    });
    after(async () => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    });

    const fc = (name: string) => join(mount, 'model/layers/0/fc', name);

    test('ls lists names, sizes and kinds', async () => {
      const listing = await output('ls', ['-l', join(mount, 'model/layers/0/fc')]);
      assert.match(listing, new RegExp(`^-r--r--r-- .* ${weight.length} .* weight\\.bin$`, 'm'));
      assert.match(listing, /^-r\S+ .* 0 .* weight\.grad$/m);
      assert.match(listing, new RegExp(`^-r--r--r-- .* ${bias.length} .* bias\\.bin$`, 'm'));
      assert.match(await output('ls', ['-p', mount]), /^checkpoint\/$|^model\/$/m);
    });

    test('find and du see every byte once', async () => {
      const found = await output('find', [join(mount, 'model'), '-name', '*.bin', '-printf', '%P %s\n']);
      assert.deepEqual(found.trim().split('\n').sort(), [
        `layers/0/fc/bias.bin ${bias.length}`,
        `layers/0/fc/weight.bin ${weight.length}`,
        'steps.bin 8',
      ]);
      const used = await output('du', ['-sb', '--apparent-size', fc('weight.bin')]);
      assert.equal(Number(used.split('\t')[0]), weight.length);
    });

    test('cp, cmp and sha256sum agree with the bytes that were saved', async () => {
      const copy = join(plain, 'copied.bin');
      await output('cp', [fc('weight.bin'), copy]);
      assert.ok(weight.equals(await readFile(copy)));
      await output('cmp', [copy, fc('weight.bin')]);
      const [ofMount, ofCopy] = (await output('sha256sum', [fc('weight.bin'), copy]))
        .split('\n')
        .map((line) => line.slice(0, 64));
      assert.equal(ofMount, ofCopy);
    });

    test('cp -a takes the whole model along', async () => {
      const copy = join(plain, 'model');
      await output('cp', ['-a', join(mount, 'model'), copy]);
      await output('diff', ['-r', join(mount, 'model'), copy]);
    });

    test('dd reads from any offset, also past the page cache', async () => {
      const slice = ['bs=1', 'skip=1234567', 'count=4321', 'status=none'];
      const direct = ['bs=4096', 'skip=100', 'count=3', 'iflag=direct', 'status=none'];
      await output('dd', [`if=${fc('weight.bin')}`, `of=${join(plain, 'slice')}`, ...slice]);
      assert.ok((await readFile(join(plain, 'slice'))).equals(weight.subarray(1234567, 1234567 + 4321)));
      const unaligned = await run('dd', [`if=${fc('weight.bin')}`, `of=${join(plain, 'direct')}`, ...direct]);
      assert.equal(unaligned.code, 0, unaligned.stderr);
      assert.ok((await readFile(join(plain, 'direct'))).equals(weight.subarray(409600, 409600 + 12288)));
    });

    test('od prints the numbers', async () => {
      const numbers = await output('od', ['-An', '-tf8', '-j16', '-N16', fc('bias.bin')]);
      assert.deepEqual(numbers.trim().split(/\s+/).map(Number), [-2, -3]);
      assert.equal(
        (await output('od', ['-An', '-td8', join(mount, 'model/steps.bin')])).trim(),
        '1976943448883713',
      );
    });

    test('hexdump shows the bytes', requires('hexdump'), async () => {
      assert.match(
        await output('hexdump', ['-C', join(mount, 'model/steps.bin')]),
        /01 02 03 04 05 06 07 00/,
      );
    });

    test('getfattr tells dtype, shape, stride and place', requires('getfattr'), async () => {
      const listed = await output('getfattr', [
        '--absolute-names',
        '-d',
        '-m',
        'user.mlfs',
        fc('weight.bin'),
      ]);
      const offset = Number(/user\.mlfs\.offset="(\d+)"/.exec(listed)?.[1]);
      assert.match(listed, /user\.mlfs\.dtype="float32"/);
      assert.match(listed, new RegExp(`user\\.mlfs\\.shape="${ROWS},${COLUMNS}"`));
      assert.match(listed, new RegExp(`user\\.mlfs\\.stride="${COLUMNS},1"`));
      const saved = await readFile(join(folder, 'model.pt'));
      assert.ok(saved.subarray(offset, offset + weight.length).equals(weight));
    });

    test('rsync copies the model and finds it unchanged the second time', requires('rsync'), async () => {
      const target = join(plain, 'synced');
      await output('rsync', ['-r', '--checksum', `${join(mount, 'model')}/`, target]);
      await output('diff', ['-r', join(mount, 'model'), target]);
      const again = await output('rsync', [
        '-r',
        '--checksum',
        '--itemize-changes',
        `${join(mount, 'model')}/`,
        target,
      ]);
      assert.equal(again, '');
    });

    test('tar carries the model through a pipe', requires('tar'), async () => {
      const archive = join(plain, 'model.tar');
      await output('tar', ['-cf', archive, '-C', mount, 'model']);
      const unpacked = await output('tar', ['-xOf', archive, 'model/steps.bin']);
      assert.equal(unpacked, '\x01\x02\x03\x04\x05\x06\x07\0');
    });

    test('fio reads at random and verifies nothing is short', requires('fio'), async () => {
      const job = [
        '--name=random',
        '--rw=randread',
        '--bs=4k',
        '--ioengine=psync',
        '--number_ios=500',
        '--readonly',
      ];
      const report = await output('fio', [...job, `--filename=${fc('weight.bin')}`, '--output-format=json']);
      const [result] = JSON.parse(report.slice(report.indexOf('{'))).jobs;
      assert.equal(result.error, 0);
      assert.equal(result.read.short_ios, 0);
      assert.ok(result.read.total_ios >= 500);
    });

    test('numpy maps a tensor, whole and from the middle', requires('python3-numpy'), async () => {
      const script = `
import numpy, sys
path, rows, columns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
mapped = numpy.memmap(path, dtype='<f4', mode='r', shape=(rows, columns))
wanted = (numpy.arange(rows * columns) / 7).astype('<f4').reshape(rows, columns)
assert numpy.array_equal(mapped, wanted)
part = numpy.memmap(path, dtype='<f4', mode='r', offset=4 * columns * 500, shape=(3, columns))
assert numpy.array_equal(part, wanted[500:503])
assert numpy.array_equal(numpy.fromfile(path, dtype='<f4'), wanted.ravel())
`;
      await output(DEBIAN_PYTHON, ['-c', script, fc('weight.bin'), String(ROWS), String(COLUMNS)]);
    });

    test('torch maps a tensor and finds what torch.load finds', requires('python3-torch'), async () => {
      const script = `
import sys, torch
path, checkpoint, rows, columns = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
saved = torch.load(checkpoint)['layers.0.fc.weight']
mapped = torch.from_file(path, shared=False, size=rows * columns, dtype=torch.float32).view(rows, columns)
assert torch.equal(saved, mapped)
`;
      const args = ['-c', script, fc('weight.bin'), join(folder, 'model.pt'), String(ROWS), String(COLUMNS)];
      await output(DEBIAN_PYTHON, args);
    });

    test('grep and jq-like readers find a tensor in tensors.json', async () => {
      const line = await output('grep', ['"name":"steps"', join(mount, 'sys/tensors.json')]);
      assert.equal(JSON.parse(line.replace(/,\s*$/, '')).file, '/model/steps.bin');
    });

    test('writing is refused and changes nothing', async () => {
      const attempt = await run('dd', [
        'if=/dev/zero',
        `of=${fc('weight.bin')}`,
        'bs=16',
        'count=1',
        'conv=notrunc',
      ]);
      assert.notEqual(attempt.code, 0);
      assert.match(attempt.stderr, /Permission denied|Read-only file system|Operation not permitted/);
      for (const args of [
        ['touch', fc('new')],
        ['rm', '-f', fc('weight.bin')],
        ['mkdir', fc('folder')],
      ]) {
        const [program = '', ...rest] = args;
        assert.notEqual((await run(program, rest)).code, 0, args.join(' '));
      }
      assert.ok(weight.equals(await readFile(fc('weight.bin'))));
    });
  });
}
