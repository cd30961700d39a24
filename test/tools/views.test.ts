/**
 * /views through real mounts: numpy maps and edits the model, editors save text, and whatever is changed through one name shows under every
 * other.
 */
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

/** Of every kind that is laid out in its own way. */
const MAKE = `
import sys, torch
torch.manual_seed(0)
base = torch.arange(12.0).reshape(3, 4)
torch.save({
    'fc.weight': torch.arange(12.0).reshape(3, 4) / 8,
    'fc.bias': torch.tensor([1.5, float('nan'), float('inf'), -2.0]),
    'conv.weight': torch.arange(24.0).reshape(2, 2, 2, 3),
    'transposed': torch.arange(12.0).reshape(3, 4).t(),
    'base': base, 'tied': base,
    'half': torch.tensor([0.1, -0.0, 65504.0]).half(),
    'brain': torch.tensor([[0.5, 1.0], [2.0, 3.0]]).bfloat16(),
    'count': torch.tensor(7), 'flags': torch.tensor([True, False]),
    'complex': torch.tensor([[1 + 2j, -0.5j]]),
    'empty': torch.zeros(0, 3),
    'large': torch.zeros(1001, 1000),
    'turned': base.t(), 'column': base[:, 1],
    'meta': torch.empty(3, 2, device='meta'),
}, sys.argv[1])
`;

const make = (path: string) =>
  run(DEBIAN_PYTHON, ['-c', MAKE, path]).then(({ code }) => assert.equal(code, 0));

for (const transport of TRANSPORTS) {
  describe(`${transport}:`, mountable(transport, 'python3-torch', 'python3-numpy', 'vim'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());
    const mounted = (t: TestContext, options = {}) =>
      WritableMount.create(t, server, transport, make, options);
    const text = (at: WritableMount, name: string, format = 'txt') =>
      readFile(join(at.path, 'views', format, `${name}.${format}`), 'utf8');

    test('numpy loads every view, mapped or not, and finds what torch saved', async (t) => {
      const at = await mounted(t);
      const compared = await at.python(`
import numpy as np, torch
saved = torch.load(T + '/model.pt')
for name, tensor in saved.items():
    if tensor.is_meta: continue
    path = M + '/views/npy/' + name.replace('.', '/') + '.npy'
    expected = tensor.view(torch.int16).numpy().view('<u2') if tensor.dtype == torch.bfloat16 else tensor.numpy()
    for mode in ([None] if tensor.numel() == 0 else [None, 'r']):
        array = np.load(path, mmap_mode=mode, allow_pickle=False)
        assert array.dtype == expected.dtype and array.shape == expected.shape, (name, array.dtype, array.shape)
        assert array.tobytes() == expected.tobytes(), name
    with open(path, 'rb') as file:
        version = np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        assert file.tell() % 64 == 0
print(len(saved))
`);
      assert.equal(Number(compared), 16);
    });

    test('an array that is mapped r+ edits the model, and every other view shows it', async (t) => {
      const at = await mounted(t);
      await at.python(`
import numpy as np
for name in ['fc/weight', 'transposed']:
    array = np.load(M + '/views/npy/' + name + '.npy', mmap_mode='r+')
    array[1, 2] = 42
    array.flush()
`);
      assert.equal((await text(at, 'fc/weight')).split('\n')[1], '0.5 0.625 42 0.875');
      assert.equal((await text(at, 'transposed', 'csv')).split('\n')[1], '1,5,42');
      const json = JSON.parse(await text(at, 'fc/weight', 'json'));
      assert.equal(json.statistics.max, 42);
      const bytes = await readFile(at.model('fc/weight.bin'));
      assert.equal(bytes.readFloatLE(4 * 6), 42);
      assert.equal((await at.status()).dirty_tensors_total, 2);
    });

    test('an edit of a tensor shows in the views at once, and so does its end', async (t) => {
      const at = await mounted(t);
      const json = async () => JSON.parse(await text(at, 'tied', 'json'));
      const before = {
        text: await text(at, 'tied'),
        mtime: (await stat(join(at.path, 'views/txt/tied.txt'))).mtimeMs,
      };
      assert.deepEqual([(await json()).name, (await json()).aliases], ['base', ['tied']]);
      assert.equal((await json()).statistics.max, 11);
      await at.python(`
import struct
with open(M + '/model/base.bin', 'r+b') as file:
    file.seek(4 * 11)
    file.write(struct.pack('<f', 1e6))
`);
      assert.match(await text(at, 'tied'), /8 9 10 1e\+06\n$/);
      assert.equal((await json()).statistics.max, 1e6);
      const after = await stat(join(at.path, 'views/txt/tied.txt'));
      assert.equal(after.size, (await text(at, 'tied')).length);
      assert.ok(after.mtimeMs > before.mtime);
      const mapped = await at.python(`
import numpy as np
print(np.load(M + '/views/npy/tied.npy')[2, 3])
`);
      assert.equal(Number(mapped), 1e6);
      await at.control('discard');
      assert.equal(await text(at, 'tied'), before.text);
      assert.equal((await json()).statistics.max, 11);
    });

    test('views that are put together show an edit of the same bytes under another name, though nobody looked at their tensors', async (t) => {
      const at = await mounted(t);
      const max = async () => JSON.parse(await text(at, 'turned', 'json')).statistics.max;
      assert.equal(await text(at, 'turned'), '0 4 8\n1 5 9\n2 6 10\n3 7 11\n');
      assert.equal(await text(at, 'column', 'csv'), '1\n5\n9\n');
      assert.equal(await max(), 11);
      await at.python(`
import struct
with open(M + '/model/base.bin', 'r+b') as file:
    file.seek(4 * 5)
    file.write(struct.pack('<f', 500))
`);
      assert.equal(await text(at, 'turned'), '0 4 8\n1 500 9\n2 6 10\n3 7 11\n');
      assert.equal(await text(at, 'column', 'csv'), '1\n500\n9\n');
      assert.equal(await max(), 500);
      await at.shellOutput(`sed -i 's/^9$/90/' $M/views/csv/column.csv`);
      assert.equal(await text(at, 'base'), '0 1 2 3\n4 500 6 7\n8 90 10 11\n');
    });

    test('a tensor without bytes has views that can be looked at, and reading them is ENODATA', async (t) => {
      const at = await mounted(t);
      const said = await at.python(`
for path in ['npy/meta.npy', 'txt/meta.txt', 'csv/meta.csv']:
    path = M + '/views/' + path
    print(oct(os.stat(path).st_mode & 0o777), end=' ')
    try: open(path, 'rb').read()
    except OSError as refused: print(errno.errorcode[refused.errno])
`);
      assert.deepEqual(said.trim().split('\n'), ['0o444 ENODATA', '0o444 ENODATA', '0o444 ENODATA']);
      assert.match(JSON.parse(await text(at, 'meta', 'json')).statistics.error, /has no bytes/);
    });

    test('vim, sed, cp and a redirection change the values that were edited, bit for bit', async (t) => {
      const at = await mounted(t);
      const views = join(at.path, 'views');
      const nan = (await readFile(at.model('fc/bias.bin'))).subarray(4, 8);
      const vim = await run('vim', [
        '-es',
        '-u',
        'NONE',
        '-i',
        'NONE',
        '-c',
        '1s/1.5/0.25/',
        '-c',
        'wq',
        `${views}/txt/fc/bias.txt`,
      ]);
      assert.equal(vim.code, 0, vim.stderr);
      assert.equal(await text(at, 'fc/bias'), '0.25\nnan\ninf\n-2\n');
      assert.deepEqual((await readFile(at.model('fc/bias.bin'))).subarray(4, 8), nan);
      await at.shellOutput(`
        sed -i '2s/.*/1e-3/' $M/views/txt/fc/bias.txt
        sed 's/,7,/,-7,/' $M/views/csv/tied.csv > $T/tied.csv
        cp $T/tied.csv $M/views/csv/tied.csv
        printf '# all of them\n\n1+1j , -2.5j\n' > $M/views/csv/complex.csv
        sed -i 's/^15 /-15 /' $M/views/txt/conv/weight.txt
        echo 8 > $M/views/txt/count.txt
        sed -i 's/True/False/' $M/views/txt/flags.txt
        sed -i '1s/.*/0.3/' $M/views/txt/half.txt
      `);
      assert.equal(await text(at, 'fc/bias', 'csv'), '0.25\n0.001\ninf\n-2\n');
      assert.equal((await text(at, 'base')).split('\n')[1], '4 5 6 7');
      assert.equal(await text(at, 'complex'), '1+1j 0-2.5j\n');
      assert.equal(await text(at, 'count'), '8\n');
      assert.equal(await text(at, 'flags'), 'False\nFalse\n');
      assert.equal(await text(at, 'half'), '0.3\n-0\n65500\n');
      await at.control('commit');
      const saved = await at.python(`
import torch
saved = torch.load(T + '/model.pt')
print([saved['fc.bias'][0].item(), saved['count'].item(), saved['flags'].tolist(), saved['conv.weight'].min().item()])
`);
      assert.equal(saved.trim(), '[0.25, 8, [False, False], -15.0]');
    });

    test('a text that is no list of the numbers is EINVAL at close, says where in the log, and changes nothing', async (t) => {
      const at = await mounted(t);
      const save = (path: string, content: string) =>
        at.python(
          `
fd = os.open(M + args[0], os.O_WRONLY | os.O_TRUNC)
os.write(fd, args[1].encode())
try: os.close(fd)
except OSError as refused: print(errno.errorcode[refused.errno])
else: print('taken')
`,
          path,
          content,
        );
      const before = await readFile(at.model('fc/weight.bin'));
      const good = await text(at, 'fc/weight');
      for (const [path, content, place] of [
        [
          '/views/txt/fc/weight.txt',
          good.replace('0.625', '0.6x5'),
          /line 2, column 5: '0\.6x5' is not a number/,
        ],
        [
          '/views/csv/fc/weight.csv',
          '1,2,3,4\n5,6,7\n',
          /line 2, column 6: the line has 3 numbers and not 4/,
        ],
        ['/views/txt/fc/weight.txt', good.slice(0, -20), /line \d+, column \d+/],
        [
          '/views/txt/fc/weight.txt',
          `${good}1 2 3 4\n`,
          /line 4, column 1: there are more than the 12 numbers/,
        ],
        ['/views/npy/fc/weight.npy', 'no array at all, but long enough', /not a \.npy file/],
      ] as const) {
        assert.equal((await save(path, content)).trim(), 'EINVAL', content);
        const log = (await at.log()).trim().split('\n').at(-1) ?? '';
        assert.ok(log.includes(path), log);
        assert.match(log, place);
      }
      assert.deepEqual(await readFile(at.model('fc/weight.bin')), before);
      assert.equal((await at.status()).dirty_bytes, 0);
      assert.equal(await text(at, 'fc/weight'), good);
    });

    test('numpy saves over a view; another dtype, shape or order is refused', async (t) => {
      const at = await mounted(t);
      const said = await at.python(`
import numpy as np
path = M + '/views/npy/fc/weight.npy'
np.save(path, np.full((3, 4), 5, '<f4'))
print(np.load(path).sum())
for other in [np.zeros((4, 3), '<f4'), np.zeros((3, 4), '<f8'), np.asfortranarray(np.zeros((3, 4), '<f4'))]:
    try: np.save(path, other)
    except OSError as refused: print(errno.errorcode[refused.errno])
print(np.load(path).sum())
fd = os.open(path, os.O_RDWR)
try:
    os.pwrite(fd, b'not numpy', 0)
    os.fsync(fd)
except OSError as refused: print(errno.errorcode[refused.errno])
`);
      assert.deepEqual(said.trim().split('\n'), ['60.0', 'EINVAL', 'EINVAL', 'EINVAL', '60.0', 'EINVAL']);
    });

    test('a large tensor shows a head in text that says so, and is not written as text', async (t) => {
      const at = await mounted(t);
      const head = (await text(at, 'large')).trim().split('\n');
      assert.equal(head.length, 5);
      assert.match(head.at(-1) ?? '', /^# the first 4000 of 1001000 elements/);
      assert.equal((await stat(join(at.path, 'views/csv/large.csv'))).mode & 0o777, 0o444);
      const { code } = await at.shell('echo 1 > $M/views/txt/large.txt');
      assert.notEqual(code, 0);
      assert.equal(JSON.parse(await text(at, 'large', 'json')).statistics.zeros, 1_001_000);
    });

    test('a read-only mount shows the views and refuses to write them', async (t) => {
      const at = await mounted(t, { readOnly: true });
      assert.equal(await text(at, 'fc/bias'), '1.5\nnan\ninf\n-2\n');
      const { code } = await at.shell('echo 1 > $M/views/txt/count.txt');
      assert.notEqual(code, 0);
      assert.equal((await stat(join(at.path, 'views/npy/count.npy'))).mode & 0o777, 0o444);
    });

    test('statistics are a fixed size, whatever they say, and null where dtypes have none', async (t) => {
      const at = await mounted(t);
      const path = join(at.path, 'views/json/brain.json');
      const { size } = await stat(path);
      const document = await readFile(path, 'utf8');
      assert.equal(Buffer.byteLength(document), size);
      const { npy_carrier, statistics, shape } = JSON.parse(document);
      assert.deepEqual([npy_carrier, shape, statistics.mean], ['<u2', [2, 2], 1.625]);
      assert.deepEqual(JSON.parse(await text(at, 'empty', 'json')).statistics.min, null);
    });
  });
}
