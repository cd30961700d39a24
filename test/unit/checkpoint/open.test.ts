import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { valueToJson } from '../../../src/checkpoint/json.ts';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import { findStateDict } from '../../../src/checkpoint/state-dict.ts';
import { isTensor } from '../../../src/checkpoint/value-children.ts';
import { type ErrorCode, MlfsError } from '../../../src/errors.ts';
import { buildZip, DEFLATED } from '../../hostile/zip-builder.ts';
import { temporaryDirectory } from '../../support/tmp.ts';
import { assemble, global, int, storage, tensor, text } from './pickle/assembler.ts';

import { oneTensor, open, pickle, refusal, torchZip } from './torch/torch-files.ts';

test('a bundle opens each torch file in it', async (t) => {
  const inner = torchZip(oneTensor(tensor(storage('0', 4), 0, [4], [1])), { 0: Buffer.alloc(16, 3) });
  const outer = buildZip([
    { name: 'policy.pth', content: inner },
    { name: 'policy.optimizer.pth', content: inner },
    { name: 'squeezed.pth', content: inner, method: DEFLATED },
    { name: 'info.txt', content: Buffer.from('hello') },
  ]);
  const checkpoint = await open(t, outer, 'best.zip');
  assert.equal(checkpoint.format, 'zip-bundle');
  assert.deepEqual(
    checkpoint.tensors.map(({ path }) => path.join('/')),
    ['policy.pth/w', 'policy.optimizer.pth/w'],
  );
  assert.deepEqual([...checkpoint.storages.keys()], ['policy.pth/0', 'policy.optimizer.pth/0']);
  const own = checkpoint.tensors[1]?.tensor.storage.bytes;
  assert.ok(own?.kind === 'extent');
  assert.deepEqual(await checkpoint.image.read(own.offset, own.length), Buffer.alloc(16, 3));
  assert.match(checkpoint.warnings[0]?.message ?? '', /"squeezed.pth" is compressed/);
  assert.deepEqual(findStateDict(checkpoint.root)?.path, ['policy.pth']);
});

test('a pickle of another program is a tree', async (t) => {
  const checkpoint = await open(t, pickle('EMPTY_DICT', text('a'), int(1), 'SETITEM'), 'x.pkl');
  assert.equal(checkpoint.format, 'pickle');
  assert.equal(valueToJson(checkpoint.root), '{\n  "a": 1\n}');
});

const others: [name: string, code: ErrorCode, bytes: Buffer, message: RegExp, advice?: RegExp][] = [
  ['an empty file', 'ERR_MLFS_FORMAT', Buffer.alloc(0), /m\.pt: is empty/],
  [
    'a Git LFS pointer',
    'ERR_MLFS_PLACEHOLDER',
    Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123456\n'),
    /is a Git LFS pointer to 123456 bytes/,
    /git lfs pull/,
  ],
  ['an HTML page', 'ERR_MLFS_PLACEHOLDER', Buffer.from('\n<!DOCTYPE html><html>'), /is an HTML or XML page/],
  ['GGUF', 'ERR_MLFS_FORMAT', Buffer.from('GGUF\x03\0\0\0'), /is a GGUF model/],
  ['HDF5', 'ERR_MLFS_FORMAT', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), /is an HDF5 file/],
  ['ONNX', 'ERR_MLFS_FORMAT', Buffer.from('\x08\x07\x12\x07pytorch', 'latin1'), /is an ONNX model/],
  ['gzip', 'ERR_MLFS_FORMAT', Buffer.from('\x1f\x8b\x08\0', 'latin1'), /is a gzip file/, /gunzip/],
  ['JSON', 'ERR_MLFS_FORMAT', Buffer.from('{"architectures": ["A"]}'), /is JSON, not a checkpoint/],
  [
    'an index of shards',
    'ERR_MLFS_FORMAT',
    Buffer.from('{"weight_map": {}}'),
    /is the index of a model in several files/,
    /files that it names/,
  ],
  [
    'an error in JSON',
    'ERR_MLFS_PLACEHOLDER',
    Buffer.from('{"error": "Repository not found"}'),
    /is a text, not a checkpoint: .*Repository not found/,
    /server answered/,
  ],
  ...[
    'Entry not found',
    'Not Found',
    'Invalid username or password.\n',
    '404: Not Found',
    'Zugriff verweigert: für Gäste',
  ].map((text): (typeof others)[number] => [
    `the error page ${JSON.stringify(text)}`,
    'ERR_MLFS_PLACEHOLDER',
    Buffer.from(text),
    /is a text, not a checkpoint: "\S/,
    /server answered/,
  ]),
  [
    'ExecuTorch',
    'ERR_MLFS_FORMAT',
    Buffer.from('\x30\0\0\0ET12', 'latin1'),
    /is an ExecuTorch program/,
    /exported from/,
  ],
  [
    'a flatbuffer of PyTorch Mobile',
    'ERR_MLFS_FORMAT',
    Buffer.from('\x30\0\0\0PTMF', 'latin1'),
    /is a PyTorch Mobile model in the flatbuffer format/,
    /converted from/,
  ],
  [
    'a torch.package archive',
    'ERR_MLFS_FORMAT',
    buildZip([
      { name: 'p/model/model.pkl' },
      { name: 'p/.data/0.storage' },
      { name: 'p/.data/extern_modules' },
    ]),
    /is a torch\.package archive/,
    /PackageImporter/,
  ],
  [
    'an AOTInductor package',
    'ERR_MLFS_FORMAT',
    buildZip([{ name: 'm/data/aotinductor/model/c.wrapper.so' }, { name: 'm/archive_format' }]),
    /is an AOTInductor package/,
    /compiled from/,
  ],
  [
    'several zips in a row',
    'ERR_MLFS_FORMAT',
    Buffer.concat([buildZip([{ name: 'a/data.pkl' }]), buildZip([{ name: 'b/data.pkl' }])]),
    /is several zip archives one behind the other/,
    /dcp_to_torch/,
  ],
  [
    'the .metadata of a distributed checkpoint',
    'ERR_MLFS_FORMAT',
    pickle(
      assemble(global('torch.distributed.checkpoint.metadata', 'Metadata'), 'EMPTY_TUPLE', 'NEWOBJ'),
      assemble('EMPTY_DICT', 'BUILD'),
    ),
    /is the \.metadata of a torch\.distributed\.checkpoint folder/,
    /dcp_to_torch/,
  ],
  [
    'noise',
    'ERR_MLFS_FORMAT',
    Buffer.from([0xde, 0xad, 0xbe, 0xef]),
    /is not a checkpoint: it starts with the bytes deadbeef/,
  ],
  [
    'a zip of something else',
    'ERR_MLFS_FORMAT',
    buildZip([{ name: 'a.txt' }]),
    /without a torch checkpoint in it: .* "a\.txt"/,
  ],
  [
    'a pickle with bytes after it',
    'ERR_MLFS_FORMAT',
    Buffer.concat([pickle('NONE'), Buffer.alloc(9)]),
    /is a pickle of 4 bytes with 9 bytes after it/,
  ],
  [
    'the data.pkl of an unpacked checkpoint',
    'ERR_MLFS_STORAGE',
    pickle(storage('0', 4)),
    /storage "0" is not in this file/,
    /open the whole archive/,
  ],
];

for (const [name, code, bytes, message, advice] of others) {
  test(`what is no checkpoint is refused by its own name: ${name}`, async (t) => {
    const error = await refusal(t, bytes);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    if (advice !== undefined) assert.match(error.advice ?? '', advice);
  });
}

const folders: [name: string, files: readonly string[], message: RegExp, advice?: RegExp][] = [
  [
    'a distributed checkpoint',
    ['.metadata', '__0_0.distcp'],
    /is a folder of torch\.distributed/,
    /dcp_to_torch/,
  ],
  [
    'a model in shards',
    ['model.safetensors.index.json', 'model-00001-of-00002.safetensors'],
    /is the folder of a model in several files \(see model\.safetensors\.index\.json/,
    /files that the index names/,
  ],
  [
    'a folder with a checkpoint',
    ['config.json', 'model.safetensors'],
    /is a directory/,
    /model\.safetensors/,
  ],
  ['a folder', ['notes.txt'], /is a directory, not a checkpoint file/],
];

for (const [name, files, message, advice] of folders) {
  test(`a folder is refused for what it is: ${name}`, async (t) => {
    const folder = await temporaryDirectory(t);
    for (const file of files) await writeFile(join(folder, file), '');
    const error = await openCheckpoint(folder).then(
      () => assert.fail('it opened'),
      (cause: unknown) => cause,
    );
    assert.ok(error instanceof MlfsError);
    assert.equal(error.code, 'ERR_MLFS_FORMAT');
    assert.match(error.message, message);
    if (advice !== undefined) assert.match(error.advice ?? '', advice);
  });
}

const wrapped: [name: string, key: string, expected: readonly string[]][] = [
  ['a usual wrapper', 'model_state_dict', ['model_state_dict']],
  ['a wrapper of an unusual name', 'my_weights', ['my_weights']],
];

for (const [name, key, expected] of wrapped) {
  test(`the state dict is found in ${name}`, async (t) => {
    const one = tensor(storage('0', 4), 0, [4], [1]);
    const optimizer = assemble('EMPTY_DICT', text('a'), one, 'SETITEM', text('b'), one, 'SETITEM');
    const root = pickle(
      assemble('EMPTY_DICT', text('optimizer'), optimizer, 'SETITEM', text('epoch'), int(3), 'SETITEM'),
      assemble(text(key), 'EMPTY_DICT', text('w'), one, 'SETITEM', 'SETITEM'),
    );
    const { root: value } = await open(t, torchZip(root, { 0: new Uint8Array(16) }));
    const found = findStateDict(value);
    assert.deepEqual(found?.path, expected);
    assert.deepEqual([...found.names.keys()], ['w']);
    assert.ok(isTensor(found.names.get('w')));
  });
}
