import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Checkpoint } from '../../../../src/checkpoint/checkpoint.ts';
import { valueToJson } from '../../../../src/checkpoint/json.ts';
import { openCheckpoint } from '../../../../src/checkpoint/open.ts';
import { PyDict, PyObject } from '../../../../src/checkpoint/pickle/values.ts';
import { tensorContent } from '../../../../src/checkpoint/tensor-content.ts';
import { RenderedPages } from '../../../../src/storage/rendered-pages.ts';
import { assemble, global, int, text, tuple, u8, u32 } from '../pickle/assembler.ts';

const FIXTURES = fileURLToPath(new URL('../../../fixtures/torch-2.13/', import.meta.url));

async function opened(t: TestContext, path: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  return checkpoint;
}

async function fixture(t: TestContext, name: string): Promise<Checkpoint> {
  return opened(t, `${FIXTURES}${name}`);
}

async function pickle(t: TestContext, bytes: Buffer): Promise<Checkpoint> {
  const folder = await mkdtemp(join(tmpdir(), 'mlfs-numpy-'));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, 'arrays.pkl');
  await writeFile(path, bytes);
  return opened(t, path);
}

function tensorNamed({ tensors }: Checkpoint, name: string) {
  return tensors.find(({ path }) => path.join('.') === name)?.tensor ?? assert.fail(`no ${name}`);
}

async function bytesOf(checkpoint: Checkpoint, name: string, offset = 0, length = Number.MAX_SAFE_INTEGER) {
  const tensor = tensorNamed(checkpoint, name);
  const content = tensorContent(tensor, new RenderedPages(1 << 20));
  assert.ok(!('writer' in content) || content.writer === undefined, `${name} can be written`);
  if (content.kind === 'rendered')
    return Buffer.from(await content.read(offset, Math.min(length, content.size)));
  const [extent] = content.extents;
  assert.ok(extent?.kind === 'image');
  return checkpoint.image.read(extent.offset + offset, Math.min(length, extent.length));
}

/** The fixtures' `any`: make-fixtures.py's pattern. */
function pattern(count: number): Buffer {
  return Buffer.from(
    Array.from({ length: count }, (_unused, index) => (index * 37 + 33 + Math.floor(index / 7)) % 256),
  );
}

test('bytes that lie in a pickle as they are, are a read-only extent of the file', async (t) => {
  for (const protocol of [3, 4, 5]) {
    const name = `numpy-protocol-${protocol}.pkl`;
    const checkpoint = await fixture(t, name);
    const { storage } = tensorNamed(checkpoint, 'arrays.any');
    assert.ok(storage.bytes.kind === 'extent' && storage.bytes.readOnly === true, name);
    const file = await readFile(`${FIXTURES}${name}`);
    assert.equal(storage.bytes.offset, file.indexOf(pattern(5000)), name);
    assert.deepEqual(await bytesOf(checkpoint, 'arrays.any'), pattern(5000));
  }
});

test('a text that stands for bytes is decoded where it is read, across its blocks', async (t) => {
  const checkpoint = await fixture(t, 'numpy-protocol-2.pkl');
  const { storage } = tensorNamed(checkpoint, 'arrays.any');
  assert.ok(storage.bytes.kind === 'decoded' && storage.bytes.from !== undefined);
  assert.ok(storage.bytes.from.length > 150_000);
  const expected = pattern(150_000);
  for (const [offset, length] of [
    [0, 1],
    [65_535, 2],
    [65_536, 65_536],
    [65_530, 70_000],
    [149_990, 100],
  ] as const) {
    const end = Math.min(150_000, offset + length);
    const part = await bytesOf(checkpoint, 'arrays.any', offset, end - offset);
    assert.deepEqual(part, expected.subarray(offset, end), `${offset}+${length}`);
  }
});

test('arrays say their class, and dates what they count', async (t) => {
  const checkpoint = await fixture(t, 'numpy-kinds.pt');
  assert.equal(tensorNamed(checkpoint, 'arrays.f8').note, 'numpy.ndarray');
  assert.equal(tensorNamed(checkpoint, 'arrays.matrix').note, 'numpy.matrix');
  assert.equal(tensorNamed(checkpoint, 'arrays.dates').note, 'numpy.ndarray of datetime64[ns]');
  assert.deepEqual(checkpoint.unknownGlobals, []);
});

test('scalars have their values, whatever the protocol', async (t) => {
  const names = [0, 1, 2, 3, 4, 5].map((protocol) => `numpy-protocol-${protocol}.pkl`);
  for (const name of [...names, 'numpy-kinds.pt']) {
    const { root } = await fixture(t, name);
    assert.ok(root instanceof PyDict);
    const scalars = valueToJson(root.get('scalars') ?? null);
    // JSON.parse would round the integers.
    assert.match(scalars, /"i8": \{"\$numpy": "int64", "value": -9223372036854775808\}/, name);
    assert.match(scalars, /"u8": \{"\$numpy": "uint64", "value": 18446744073709551615\}/, name);
    const { i8, u8: unsigned, ...others } = JSON.parse(scalars);
    assert.deepEqual(
      others,
      {
        f8: { $numpy: 'float64', value: 0.25 },
        f4: { $numpy: 'float32', value: Math.fround(0.1) },
        f2: { $numpy: 'float16', value: -0.5 },
        nan: { $numpy: 'float64', value: 'NaN' },
        i1: { $numpy: 'int8', value: -7 },
        yes: { $numpy: 'bool', value: true },
        c8: { $numpy: 'complex64', value: [1, 2] },
        date: { $numpy: 'datetime64[D]', value: 18321 },
        time: { $numpy: 'timedelta64[s]', value: 90 },
        str: { $numpy: '<U2', value: 'hé' },
        bytes: { $numpy: '|S2', bytes: 2, hex: '6162' },
        long: { $numpy: 'float128', value: 1.5 },
        void: { $numpy: '|V3', bytes: 3, hex: '78797a' },
      },
      name,
    );
    const plain = valueToJson(root.get('more') ?? null, { plainScalars: true });
    assert.deepEqual(JSON.parse(plain), [0.5, 2], name);
  }
});

test('what torch has no dtype for keeps its dtype, its shape and its values', async (t) => {
  const { root } = await fixture(t, 'numpy-protocol-4.pkl');
  assert.ok(root instanceof PyDict);
  const arrays = root.get('arrays');
  assert.ok(arrays instanceof PyDict);
  const json = (key: string) => JSON.parse(valueToJson(arrays.get(key) ?? null));
  assert.deepEqual(json('text'), { $numpy: '<U2', shape: [2], values: ['a', 'bc'] });
  assert.deepEqual(json('record'), { $numpy: "[('a', '<i4'), ('b', '>f8')]", shape: [2], bytes: 24 });
  assert.match(JSON.stringify(json('objects')), /"args":\[\{"\$global":"numpy.ndarray"\}/);
});

// A pickle as Python 2 wrote it, and forged ones.

function reduced(...parts: readonly Buffer[]): Buffer {
  const [callable, ...args] = parts;
  return assemble(callable ?? assert.fail(), tuple(...args), 'REDUCE');
}

function built(object: Buffer, state: Buffer): Buffer {
  return assemble(object, state, 'BUILD');
}

/** Python 2's str. */
function binstring(bytes: Buffer): Buffer {
  return assemble('BINSTRING', u32(bytes.length), bytes);
}

const FLOAT32 = built(
  reduced(global('numpy', 'dtype'), binstring(Buffer.from('f4')), int(0), int(1)),
  tuple(
    int(3),
    binstring(Buffer.from('<')),
    assemble('NONE'),
    assemble('NONE'),
    assemble('NONE'),
    int(-1),
    int(-1),
    int(0),
  ),
);
const EMPTY = reduced(
  global('numpy.core.multiarray', '_reconstruct'),
  global('numpy', 'ndarray'),
  tuple(int(0)),
  binstring(Buffer.from('b')),
);

function array(shape: Buffer, data: Buffer, dtype = FLOAT32, ...more: readonly Buffer[]): Buffer {
  return built(EMPTY, tuple(int(1), shape, dtype, int(0), data, ...more));
}

function file(...entries: readonly [key: string, value: Buffer][]): Buffer {
  const items = entries.map(([key, value]) => assemble(text(key), value));
  return assemble('PROTO', u8(2), 'EMPTY_DICT', 'MARK', ...items, 'SETITEMS', 'STOP');
}

test("Python 2's strings are bytes of arrays, also those that happen to be text", async (t) => {
  const binary = Buffer.from(Float32Array.of(1.5, -2).buffer);
  const long = Buffer.alloc(40_000, 0x80);
  // Python's UTF-8 has no such characters.
  const surrogates = Buffer.from('eda08061'.repeat(10), 'hex');
  const checkpoint = await pickle(
    t,
    file(
      ['binary', array(tuple(int(2)), binstring(binary))],
      ['text', array(tuple(int(2)), binstring(Buffer.from('abc\u00e9...')))],
      ['long', array(tuple(int(10_000)), binstring(long))],
      ['surrogates', array(tuple(int(10)), binstring(surrogates))],
    ),
  );
  assert.deepEqual(await bytesOf(checkpoint, 'binary'), binary);
  assert.deepEqual(await bytesOf(checkpoint, 'text'), Buffer.from('abc\u00e9...'));
  assert.deepEqual(await bytesOf(checkpoint, 'long'), long);
  assert.deepEqual(await bytesOf(checkpoint, 'surrogates'), surrogates);
});

test('an array that is named twice is one tensor', async (t) => {
  const twice = assemble(
    'MARK',
    EMPTY,
    'BINPUT',
    u8(7),
    tuple(int(1), tuple(int(1)), FLOAT32, int(0), binstring(Buffer.alloc(4, 0xff))),
    'BUILD',
    'BINGET',
    u8(7),
    'LIST',
    'STOP',
  );
  const { tensors } = await pickle(t, assemble('PROTO', u8(2), twice));
  assert.equal(tensors.length, 2);
  assert.equal(tensors[0]?.tensor, tensors[1]?.tensor);
});

test('what a subclass adds to its state stays beside the array', async (t) => {
  const more = array(tuple(int(1)), binstring(Buffer.alloc(4, 0xff)), FLOAT32, text('kelvin'));
  const { root, tensors } = await pickle(t, file(['t', more]));
  assert.deepEqual(
    tensors.map(({ path }) => path),
    [['t', 'data']],
  );
  assert.ok(root instanceof PyDict);
  const made = root.get('t');
  assert.ok(made instanceof PyObject);
  assert.equal(made.dictItems?.get('state_0'), 'kelvin');
});

test('a shape that the bytes do not fill makes an object and no tensor', async (t) => {
  const four = binstring(Buffer.alloc(4, 0xff));
  const shapes = [
    tuple(int(2)),
    tuple(int(-1)),
    tuple(int(0x7fffffff), int(0x7fffffff), int(0x7fffffff)),
    tuple(text('1')),
    int(1),
    assemble('MARK', ...Array.from({ length: 65 }, () => int(1)), 'TUPLE'),
  ];
  const checkpoint = await pickle(
    t,
    file(...shapes.map((shape, index): [string, Buffer] => [`a${index}`, array(shape, four)])),
  );
  assert.deepEqual(checkpoint.tensors, []);
  JSON.parse(valueToJson(checkpoint.root));
});

test('a dtype whose size is not that of its code describes nothing', async (t) => {
  const dtype = (code: string, itemsize: number) =>
    built(
      reduced(global('numpy', 'dtype'), text(code), int(0), int(1)),
      tuple(
        int(3),
        text('<'),
        assemble('NONE'),
        assemble('NONE'),
        assemble('NONE'),
        int(itemsize),
        int(-1),
        int(0),
      ),
    );
  const scalar = (code: string, bytes: number) =>
    reduced(
      global('numpy.core.multiarray', 'scalar'),
      dtype(code, bytes),
      binstring(Buffer.alloc(bytes, 0xff)),
    );
  const one = binstring(Buffer.of(0xff));
  const codes = ['f8', 'i4', 'c16', 'M8', 'm8', 'f16', 'b1'];
  const { root, tensors } = await pickle(
    t,
    file(
      ...codes.map((code): [string, Buffer] => [`scalar ${code}`, scalar(code, code === 'b1' ? 2 : 1)]),
      ...codes.map((code): [string, Buffer] => [`array ${code}`, array(tuple(int(1)), one, dtype(code, 1))]),
      ['right', scalar('f8', 8)],
      ['text', scalar('U1', 8)],
    ),
  );
  assert.deepEqual(
    tensors.map(({ path }) => path.join('.')),
    ['array b1'],
  );
  const shown = JSON.parse(valueToJson(root));
  for (const code of codes) assert.ok(!('$numpy' in shown[`scalar ${code}`]), code);
  assert.deepEqual(shown.right, { $numpy: 'float64', value: 'NaN' });
  assert.equal(shown.text.$numpy, '<U1');
});

test('axes that are no permutation make no tensor', async (t) => {
  const four = binstring(Buffer.alloc(4, 0xff));
  const from = (axes: Buffer) =>
    reduced(
      global('numpy.core.numeric', '_frombuffer'),
      four,
      FLOAT32,
      tuple(int(1), int(1)),
      text('K'),
      axes,
    );
  const { tensors } = await pickle(
    t,
    file(
      ['good', from(tuple(int(1), int(0)))],
      ['twice', from(tuple(int(0), int(0)))],
      ['far', from(tuple(int(0), int(9)))],
      ['few', from(tuple(int(0)))],
    ),
  );
  assert.deepEqual(
    tensors.map(({ path }) => path.join('.')),
    ['good'],
  );
});

test('arrays of one long text, again and again, are more than the limits allow', async (t) => {
  const long = assemble(binstring(Buffer.alloc(8 << 20, 0x61)), 'BINPUT', u8(8));
  const again = array(tuple(int(2 << 20)), assemble('BINGET', u8(8)));
  const arrays = Array.from({ length: 100 }, (_unused, index): [string, Buffer] => [`a${index}`, again]);
  await assert.rejects(pickle(t, file(['text', long], ...arrays)), { code: 'ERR_MLFS_LIMIT' });
});

test('a dtype that contains itself is described to a depth', async (t) => {
  const fields = assemble('EMPTY_DICT', text('x'), tuple(assemble('BINGET', u8(9)), int(0)), 'SETITEM');
  const itself = assemble(
    reduced(global('numpy', 'dtype'), text('V4'), int(0), int(1)),
    'BINPUT',
    u8(9),
    tuple(int(3), text('|'), assemble('NONE'), tuple(text('x'), text('x')), fields, int(4), int(1), int(16)),
    'BUILD',
  );
  const { root } = await pickle(
    t,
    file(['a', array(tuple(int(1)), binstring(Buffer.alloc(4, 0xff)), itself)]),
  );
  const shown = valueToJson(root);
  assert.ok(shown.length < 4096, `${shown.length} characters`);
  assert.match(shown, /\$numpy": "\[\('x', \[\('x', /);
});
