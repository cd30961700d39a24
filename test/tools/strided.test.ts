/**
 * Tensors that do not lie in their file as they read: transposed, sliced, expanded, conjugated, big-endian. Files that torch made are
 * written through a mount, committed, and loaded by torch again.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEBIAN_PYTHON, requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const BIG_ENDIAN = fileURLToPath(new URL('../fixtures/torch-2.13/big-endian.pt', import.meta.url));

/** Views of one storage each group, as torch saves them. */
const MAKE = `
import sys, torch
torch.manual_seed(3)
x = torch.randn(96, 130)
wide = torch.randn(24, 4096)
cube = torch.arange(12 * 20 * 28, dtype=torch.int32).reshape(12, 20, 28)
complexes = torch.randn(50, 60, dtype=torch.complex64)
halves = torch.randn(64, 65).to(torch.bfloat16)
flags = torch.rand(40, 41) > 0.5
torch.save({
    'x': x, 'transposed': x.t(), 'sliced': x[3:90:2, 5:100:3], 'row': x[7], 'column': x[:, 9], 'tail': x.reshape(-1)[5000:],
    'wide': wide, 'runs': wide[:, 512:3584],
    'cube': cube, 'permuted': cube.permute(2, 0, 1), 'diagonal': cube[3, :, :20].diagonal(),
    'conjugated': complexes.conj(), 'negated': torch.randn(50, 60, dtype=torch.complex64).conj().imag,
    'halves': halves.t(), 'flags': flags[::3].t(), 'scalar': x[50, 60],
    'expanded': x[:1].expand(9, 130), 'windows': x.reshape(-1).unfold(0, 8, 4),
    'channels_last': torch.randn(2, 3, 8, 10).contiguous(memory_format=torch.channels_last),
}, sys.argv[1])
`;

/** Those that can be written. */
const VIEWS = [
  'x',
  'transposed',
  'sliced',
  'row',
  'column',
  'tail',
  'wide',
  'runs',
  'cube',
  'permuted',
  'diagonal',
  'conjugated',
  'negated',
  'halves',
  'flags',
  'scalar',
  'channels_last',
];

/** bytes(tensor): what its file in a mount holds. load(): the tensors as torch finds them. */
const PRELUDE = `
import torch, numpy
def raw(tensor):
    plain = tensor.resolve_conj().resolve_neg().contiguous()
    if plain.dtype == torch.bfloat16: plain = plain.view(torch.int16)
    return plain.numpy().tobytes()
def of_raw(data, like):
    kind = torch.int16 if like.dtype == torch.bfloat16 else like.dtype
    plain = torch.frombuffer(bytearray(data), dtype=kind)
    if like.dtype == torch.bfloat16: plain = plain.view(torch.bfloat16)
    return plain.reshape(like.shape)
def file(name): return f'{M}/model/{name}.bin'
def same(left, right):
    for name in right:
        assert raw(left[name]) == raw(right[name]), name
def mounted(wanted):
    for name, tensor in wanted.items():
        with open(file(name), 'rb') as opened: assert opened.read() == raw(tensor), name
`;

for (const transport of TRANSPORTS) {
  describe(
    `strided tensors written by ${transport}`,
    mountable(transport, 'python3-torch', 'python3-numpy', 'unzip'),
    () => {
      let server: Server;
      before(async () => {
        server = await Server.start();
      });
      after(() => server.stop());

      async function scene(t: TestContext): Promise<WritableMount> {
        const at = await WritableMount.create(t, server, transport, (path) =>
          output(DEBIAN_PYTHON, ['-c', MAKE, path]),
        );
        await copyFile(at.checkpoint, join(at.folder, 'saved.pt'));
        return at;
      }

      /** Python that makes `data` of `name`'s size and writes it into its file. */
      const WAYS: Readonly<Record<string, string>> = {
        replaced: `
with open(file(name), 'wb') as opened: opened.write(data)
`,
        'written in pieces': `
fd = os.open(file(name), os.O_RDWR)
for at in [*range(0, len(data), 1777)][::-1]: assert os.pwrite(fd, data[at:at + 1777], at) == len(data[at:at + 1777])
os.close(fd)
`,
        'mapped and written': `
import mmap
with open(file(name), 'r+b') as opened, mmap.mmap(opened.fileno(), 0) as area:
    area[len(data) // 3:] = data[len(data) // 3:]
    area[:len(data) // 3] = data[:len(data) // 3]
    area.flush()
`,
      };
      for (const [way, script] of Object.entries(WAYS)) {
        test(`every view, ${way}: torch finds what torch would have made of it`, async (t) => {
          const at = await scene(t);
          await at.python(
            `${PRELUDE}
import random
chance = random.Random(5)
wanted = torch.load(T + '/saved.pt')
mounted(wanted)
for name in args:
    tensor = wanted[name]
    size = len(raw(tensor))
    data = bytes(chance.choice((0, 1)) for _ in range(size)) if tensor.dtype == torch.bool else chance.randbytes(size)
    if tensor.dtype in (torch.float32, torch.complex64):
        # Arithmetic on the way would quieten a NaN.
        data = numpy.random.default_rng(size).standard_normal(size // 4, dtype='<f4').tobytes()
    if tensor.dtype == torch.bfloat16: data = bytes(b & 0x3f for b in data)
    ${script.trim().replaceAll('\n', '\n    ')}
    tensor.copy_(of_raw(data, tensor))
    mounted(wanted)
same(torch.load(M + '/export/model.pt'), wanted)
fd = os.open(M + '/sys/control', os.O_RDWR)
os.write(fd, b'commit\\n')
os.close(fd)
mounted(wanted)
torch.save(wanted, T + '/wanted.pt')
`,
            ...VIEWS,
          );
          await server.unmount(at.path);
          await output('unzip', ['-tqq', at.checkpoint]);
          await at.python(`${PRELUDE}same(torch.load(args[0]), torch.load(T + '/wanted.pt'))`, at.checkpoint);
          const next = await server.mount(at.checkpoint, { transport });
          await output('cmp', [join(next.path, 'export/model.pt'), at.checkpoint]);
        });
      }

      test('one element of a transposed view is one element of the file', async (t) => {
        const at = await scene(t);
        await at.python(`${PRELUDE}
import struct
fd = os.open(file('transposed'), os.O_RDWR)
os.pwrite(fd, struct.pack('<f', 1234.5), 4 * (9 * 96 + 7))
wanted = torch.load(T + '/saved.pt')
wanted['transposed'][9, 7] = 1234.5
mounted(wanted)
`);
        assert.ok((await at.status()).dirty_bytes <= 4);
      });

      for (const name of ['expanded', 'windows']) {
        test(`a tensor whose elements share bytes (${name}) is read-only, and the log says why`, async (t) => {
          const at = await scene(t);
          assert.equal((await stat(at.model(`${name}.bin`))).mode & 0o777, 0o444);
          const before = await readFile(at.model(`${name}.bin`));
          await at.python(
            `
for flags in os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC:
    try: os.open(f'{M}/model/{args[0]}.bin', flags)
    except OSError as error: assert error.errno in (errno.EPERM, *((errno.EACCES,) if os.getuid() != 0 else ())), error
    else: raise AssertionError('opened for writing')
open(f'{M}/model/next', 'wb').write(bytes(int(args[1])))
try: os.rename(f'{M}/model/next', f'{M}/model/{args[0]}.bin')
except OSError as error: assert error.errno == errno.EPERM, error
else: raise AssertionError('renamed over')
`,
            name,
            before.length,
          );
          assert.ok(before.equals(await readFile(at.model(`${name}.bin`))));
          assert.equal((await at.status()).dirty_bytes, 0);
          assert.match(await at.log(), new RegExp(`level=warn[^\\n]*${name}`));
        });
      }

      test('a write through x shows in the expanded view of it', async (t) => {
        const at = await scene(t);
        await at.python(`${PRELUDE}
import struct
fd = os.open(file('x'), os.O_RDWR)
os.pwrite(fd, struct.pack('<f', 77.5), 8)
wanted = torch.load(T + '/saved.pt')
wanted['x'][0, 2] = 77.5
mounted(wanted)
`);
      });

      test('a file of a big-endian machine is written in its byte order', async (t) => {
        const at = await WritableMount.create(t, server, transport, (path) => copyFile(BIG_ENDIAN, path));
        const tensors = (await at.status()).tensors;
        assert.ok(tensors > 0);
        await at.python(
          `
import zipfile
names = [t for t in json.load(open(M + '/sys/tensors.json')) if t['nbytes']]
wanted = {}
for tensor in names:
    path = M + tensor['file']
    data = open(path, 'rb').read()
    new = data[::-1] if tensor['dtype'] == 'bool' else bytes((b + 1) & 0x7f for b in data)
    with open(path, 'r+b') as opened: opened.write(new)
    for other in names:
        if other['storage'] == tensor['storage']: wanted.pop(other['name'], None)
    wanted[tensor['name']] = tensor['file'], new
for path, new in wanted.values(): assert open(M + path, 'rb').read() == new, path
fd = os.open(M + '/sys/control', os.O_RDWR)
os.write(fd, b'commit\\n')
os.close(fd)
for path, new in wanted.values(): assert open(M + path, 'rb').read() == new, path
with zipfile.ZipFile(args[0]) as archive:
    assert archive.testzip() is None
    [prefix] = {name.split('/')[0] for name in archive.namelist()}
    swapped = 0
    for tensor in names:
        if tensor['name'] not in wanted or len(wanted[tensor['name']][1]) != archive.getinfo(f"{prefix}/data/{tensor['storage']}").file_size: continue
        width = {'float32': 4, 'float64': 8, 'int64': 8, 'int32': 4, 'int16': 2, 'float16': 2, 'bfloat16': 2}.get(tensor['dtype'])
        if width is None or tensor['stride'] != sorted(tensor['stride'], reverse=True): continue
        new = wanted[tensor['name']][1]
        raw = b''.join(new[i:i + width][::-1] for i in range(0, len(new), width))
        assert archive.read(f"{prefix}/data/{tensor['storage']}") == raw, tensor['name']
        swapped += 1
assert swapped > 0
`,
          at.checkpoint,
        );
        await server.unmount(at.path);
        await output('unzip', ['-tqq', at.checkpoint]);
      });

      test('deflated tensors are read-only', requires('zip'), async (t) => {
        const at = await scene(t);
        await at.shellOutput(
          'mkdir $T/un && cd $T/un && unzip -q $T/saved.pt && zip -q -r -9 $T/deflated.pt .',
        );
        const again = await WritableMount.create(t, server, transport, (path) =>
          copyFile(join(at.folder, 'deflated.pt'), path),
        );
        const refused = await again.shell('echo 0 > $M/model/x.bin');
        assert.match(refused.stderr, /Operation not permitted|Permission denied/);
        assert.equal((await stat(again.model('x.bin'))).mode & 0o777, 0o444);
        await again.python(`${PRELUDE}mounted(torch.load('${join(at.folder, 'saved.pt')}'))`);
      });
    },
  );
}
