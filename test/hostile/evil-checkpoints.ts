/** Checkpoints whose every name and string is made to be obeyed by a terminal, by a reader of logs, or by the reader's eyes. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  PyBytes,
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PyTuple,
  type Value,
} from '../../src/checkpoint/pickle/values.ts';
import { writePickle } from '../../src/checkpoint/pickle/writer.ts';
import { tensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { assemble, global, storage, tensor, text } from '../unit/checkpoint/pickle/assembler.ts';
import { pickle, torchZip } from '../unit/checkpoint/torch/torch-files.ts';
import { buildZip, DEFLATED } from './zip-builder.ts';

/** Escape sequences of 7 and 8 bits, line breaks of every kind, bidirectional controls, what has no width, what has no meaning. */
const HIDDEN =
  '\x1b[31m\x1b]0;title\x07\r\n\t\x08\x7f\u0085\u009b31m\u00a0\u00ad\u034f\u061c\u200b\u200d\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u206a\ufe0f\ufeff\ufff9\ufffd\uffff\u{e0041}\u{e0100}\u{1d173}\ue000\u0378';

/** For archives: no NUL and no backslash, which are refused there; and for file names. */
export function evil(label: string): string {
  return `${label}${HIDDEN}größe`;
}

/** For GLOBAL, whose names end with their line, and for lines of commands. */
export const oneLine = (label: string) => evil(label).replaceAll(/[\r\n]/g, '');

const halves = (label: string) => `${evil(label)}\0\ud800"\\`;

function moduleOf(
  className: string,
  parameters: PyDict,
  modules: PyDict,
  attributes: [Value, Value][] = [],
): PyObject {
  const object = new PyObject(new PyGlobal(oneLine('torch.module'), className), new PyTuple([]));
  const state = new PyDict();
  state.set('_parameters', parameters);
  state.set('_buffers', new PyDict());
  state.set('_modules', modules);
  for (const [key, value] of attributes) state.set(key, value);
  object.state = state;
  return object;
}

function dict(...entries: readonly [Value, Value][]): PyDict {
  const made = new PyDict();
  for (const [key, value] of entries) made.set(key, value);
  return made;
}

const float = () =>
  tensorToWrite('float32', [2], Buffer.from(new Float32Array([1, 2]).buffer), { isParameter: true });

/** A state dict and whatever else a checkpoint may hold. */
export async function evilStateDict(folder: string, name = evil('dict')): Promise<string> {
  const path = join(folder, `${name}.pt`);
  const shared = float();
  const object = new PyObject(
    new PyGlobal(oneLine('os'), 'system\x1b[31m\u202e'),
    new PyTuple([evil('touch')]),
  );
  object.state = dict([halves('attribute'), halves('value')]);
  const list = new PyList();
  list.items.push(halves('item'), new PyBytes(Buffer.from(halves('bytes'))));
  const root = dict(
    [
      'state_dict',
      dict(
        [halves('layer.weight'), float()],
        ['plain.weight', float()],
        [evil('tied.a'), shared],
        [evil('tied.b'), shared],
        [halves('x'.repeat(600)), float()],
      ),
    ],
    ['epoch', 3],
    [halves('key'), halves('value')],
    [new PyTuple([halves('tuple'), 1]), list],
    ['object', object],
    ['global', new PyGlobal('evil\u202e', 'name\x1b')],
  );
  await writeTorchZip(
    path,
    {
      root,
      records: { [evil('record')]: Buffer.from(evil('content')), 'config.json': Buffer.from(halves('{')) },
    },
    { prefix: evil('prefix') },
  );
  return path;
}

/** A pickled module: its classes, its children's names, the arguments that it prints. */
export async function evilModule(folder: string): Promise<string> {
  const path = join(folder, `${evil('module')}.pt`);
  const conv = new PyObject(new PyGlobal('torch.nn.modules.conv', 'Conv2d'), new PyTuple([]));
  conv.state = dict(
    ['_parameters', dict(['weight', float()])],
    ['_buffers', new PyDict()],
    ['_modules', new PyDict()],
    ...(
      [
        'in_channels',
        'out_channels',
        'kernel_size',
        'stride',
        'padding',
        'dilation',
        'output_padding',
        'groups',
        'bias',
        'padding_mode',
        'transposed',
      ] as const
    ).map((name): [Value, Value] => [
      name,
      name === 'kernel_size' ? new PyTuple([halves('argument')]) : halves(name),
    ]),
  );
  const inner = moduleOf(oneLine('Inner'), dict([halves('w'), float()]), dict(['conv', conv]));
  await writeTorchZip(path, {
    root: moduleOf('Net\x07\u202e', dict(['w', float()]), dict([halves('child'), inner], ['none', null])),
  });
  return path;
}

/** Keys of storages, which are names of entries, and a device. */
export async function evilStorages(folder: string): Promise<string> {
  const path = join(folder, 'storages.pt');
  const key = evil('key');
  const root = pickle('EMPTY_DICT', text(halves('w')), tensor(storage(key, 2), 0, [2], [1]), 'SETITEM');
  await writeFile(path, torchZip(root, { [key]: Buffer.alloc(8) }));
  return path;
}

export async function evilSafetensors(folder: string): Promise<string> {
  const path = join(folder, `${evil('tensors')}.safetensors`);
  const header = Buffer.from(
    JSON.stringify({
      __metadata__: { [evil('fact')]: evil('value'), format: 'pt' },
      [evil('a.weight')]: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
    }),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(path, Buffer.concat([length, header, Buffer.alloc(8)]));
  return path;
}

/** Code, its files' names, its classes, its strings; lines that are no TorchScript. */
export async function evilScript(folder: string): Promise<string> {
  const path = join(folder, `${evil('script')}.pt`);
  const root = pickle(
    assemble(
      global(`__torch__.Net\u202e`, 'Net\x1b'),
      'EMPTY_TUPLE',
      'NEWOBJ',
      'EMPTY_DICT',
      text(halves('w')),
    ),
    assemble(tensor(storage('0', 2), 0, [2], [1]), 'SETITEM', 'BUILD'),
  );
  const code = [
    'class Net(Module):',
    '  __parameters__ = ["w", ]',
    '  w : Tensor',
    `  name : str\u202e`,
    '  def forward(self: __torch__.Net,',
    '    x: Tensor) -> Tensor:',
    `    a\u202e = torch.add(x, self.w)`,
    `    b = ops.prim.data("\x1b[31m\u202e\u{e0041}")`,
    `    this is \x1b[31m no \u2028 code \u009b`,
    '    return a',
    '',
  ].join('\n');
  const zip = torchZip(root, { 0: Buffer.alloc(8) }, [
    { name: 'm/constants.pkl', content: pickle('EMPTY_TUPLE') },
    { name: `m/code/__torch__/${evil('net')}.py`, content: Buffer.from(code), method: DEFLATED },
    { name: 'm/code/__torch__.py', content: Buffer.from(code) },
  ]);
  await writeFile(path, zip);
  return path;
}

/** An exported program: names, targets, module paths, and raw characters in its JSON. */
export async function evilProgram(folder: string): Promise<string> {
  const path = join(folder, `${evil('program')}.pt2`);
  const hidden = Array.from(HIDDEN)
    .filter((character) => character >= ' ')
    .join('');
  const meta = {
    dtype: 7,
    sizes: [{ as_int: 2 }],
    strides: [{ as_int: 1 }],
    storage_offset: { as_int: 0 },
    requires_grad: true,
    device: { type: hidden, index: null },
  };
  const weight = { path_name: 'weight_0', is_param: true, use_pickle: false, tensor_meta: meta };
  const argument = { as_tensor: { name: `x${hidden}` } };
  const program = {
    graph_module: {
      graph: {
        inputs: [argument],
        outputs: [argument],
        nodes: [
          {
            target: `torch.ops.aten.relu${hidden}`,
            inputs: [
              { name: `self${hidden}`, arg: argument },
              { name: 's', arg: { as_string: evil('s') } },
            ],
            outputs: [argument],
            metadata: { nn_module_stack: `a,L['self'].${hidden},b` },
          },
        ],
        tensor_values: { [`x${hidden}`]: meta },
      },
      signature: {
        input_specs: [{ user_input: { arg: argument } }],
        output_specs: [{ user_output: { arg: argument } }],
      },
    },
    schema_version: { major: 8, minor: 1 },
    torch_version: evil('2'),
  };
  const json = (value: object) => Buffer.from(JSON.stringify(value, undefined, '\t'));
  const zip = buildZip([
    { name: 'x/data/weights/weight_0', content: Buffer.alloc(8) },
    {
      name: 'x/data/weights/model_weights_config.json',
      content: json({ config: { [evil('w')]: weight, [evil('p')]: { ...weight, use_pickle: true } } }),
    },
    { name: 'x/data/constants/model_constants_config.json', content: Buffer.from('{"config": {}}') },
    { name: 'x/models/model.json', content: json(program) },
    { name: 'x/archive_format', content: Buffer.from('pt2') },
  ]);
  await writeFile(path, zip);
  return path;
}

/** Files that are refused, for a reason that quotes them; some of it at great length. */
export function refusedFiles(): Readonly<Record<string, Buffer>> {
  const long = evil('n').repeat(2000);
  const safetensors = (header: string) => {
    const bytes = Buffer.from(header);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    return Buffer.concat([length, bytes, Buffer.alloc(8)]);
  };
  const entry = (name: string, shape: number[] = [2], dtype = 'F32') =>
    JSON.stringify({ [name]: { dtype, shape, data_offsets: [0, 8] } });
  const stored = (root: Buffer) => torchZip(root, { 0: Buffer.alloc(8) });
  const oneOf = (id: Buffer) => pickle('EMPTY_DICT', text(long), tensor(id, 0, [2], [1]), 'SETITEM');
  return {
    'a storage of an unknown class': stored(
      oneOf(storage(long, 2, `Strange\x1b[31m\u202e${'x'.repeat(140_000)}`)),
    ),
    'a storage without an entry': stored(oneOf(storage(long, 2))),
    'a storage of another size': stored(oneOf(storage('0', 20_000))),
    'a tensor that leaves its storage': stored(
      pickle('EMPTY_DICT', text(long), tensor(storage('0', 2), 0, [200], [1]), 'SETITEM'),
    ),
    'items set on a global': stored(
      pickle(global('evil\u202e', `x\x1b${'y'.repeat(140_000)}`), text('k'), 'NONE', 'SETITEM'),
    ),
    'an integer that is none': stored(
      pickle(assemble('INT', Buffer.from(`1\x1b[31m\u202e${'9'.repeat(1000)}\n`))),
    ),
    'a dtype that is none': safetensors(entry(long, [2], long)),
    'a shape without end': safetensors(entry('w', new Array(50_000).fill(1))),
    'a key that occurs twice': safetensors(`{${entry(long).slice(1, -1)},${entry(long).slice(1, -1)}}`),
    'metadata that is no string': safetensors(JSON.stringify({ __metadata__: { [long]: 1 } })),
    'a header that is no JSON': safetensors(`{"a\x1b[31m\u202e": nonsense\x07`),
    'an entry that occurs twice': buildZip([{ name: evil('m/a') }, { name: evil('m/a') }]),
    'an entry whose names disagree': buildZip([
      { name: 'm/aaaa\u202eb\x1b', local: { name: 'm/aaaa\u202ec\x1b' } },
    ]),
    'an entry whose name has a backslash': buildZip([{ name: `${evil('m')}\\` }]),
    'a zip without a checkpoint': buildZip([1, 2, 3, 4, 5].map((index) => ({ name: evil(`f${index}`) }))),
    'a configuration that is no JSON': buildZip([
      { name: 'x/data/weights/model_weights_config.json', content: Buffer.from('\x1b[31m\u202e{nonsense') },
      { name: 'x/archive_format', content: Buffer.from('pt2') },
    ]),
    'a weight without a record': buildZip([
      {
        name: 'x/data/weights/model_weights_config.json',
        content: Buffer.from(
          JSON.stringify({
            config: {
              [long]: {
                path_name: evil('weight'),
                is_param: true,
                use_pickle: false,
                tensor_meta: {
                  dtype: 7,
                  sizes: [],
                  strides: [],
                  storage_offset: { as_int: 0 },
                  device: { type: 'cpu' },
                },
              },
            },
          }),
        ),
      },
      { name: 'x/archive_format', content: Buffer.from('pt2') },
    ]),
  };
}

/** A pickle without tensors, to be sure that the writer takes what is in it. */
export function evilPickle(): Buffer {
  return writePickle(dict([halves('key'), halves('value')]), () => undefined);
}
