import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { openSafetensors } from '../../../src/checkpoint/safetensors.ts';
import { parseSafetensorsHeader } from '../../../src/checkpoint/safetensors-header.ts';
import { PlainMembers } from '../../../src/checkpoint/safetensors-plain.ts';
import { DTYPES } from '../../../src/checkpoint/tensor.ts';
import { type ErrorCode, MlfsError, messageOf } from '../../../src/errors.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

function file(header: string | Buffer, data: Uint8Array = new Uint8Array(0)): Buffer {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

async function opened(t: TestContext, bytes: Uint8Array) {
  const path = join(await temporaryDirectory(t), 'model.safetensors');
  await writeFile(path, bytes);
  const image = new Image(await FileSource.open(path));
  t.after(() => image.close());
  return openSafetensors(image);
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) =>
  JSON.stringify({ dtype: 'F32', shape, data_offsets: [begin, end] });

test('tensors, their places and the metadata are what the header says, in its order', async (t) => {
  const header = `{"__metadata__":{"format":"pt","__proto__":"x"},"b.weight":${f32(8, 32, [2, 3])},"a\\u00e9 /..":${f32(0, 8)}}   `;
  const checkpoint = await opened(t, file(header, new Uint8Array(32)));
  assert.equal(checkpoint.format, 'safetensors');
  assert.deepEqual(Object.entries(checkpoint.metadata), [
    ['format', 'pt'],
    ['__proto__', 'x'],
  ]);
  assert.deepEqual(
    checkpoint.tensors.map(({ path }) => path),
    [['b.weight'], ['aé /..']],
  );
  const tensor = checkpoint.tensors[0]?.tensor;
  assert.deepEqual([tensor?.shape, tensor?.stride, tensor?.dtype], [[2, 3], [3, 1], 'float32']);
  const bytes = checkpoint.storages.get('b.weight')?.bytes;
  assert.ok(bytes?.kind === 'extent');
  const dataOffset = 8 + Buffer.byteLength(header);
  assert.deepEqual([bytes.offset, bytes.length], [dataOffset + 8, 24]);
});

test('what the official reader takes for no metadata, or takes twice, is taken', async (t) => {
  for (const [metadata, expected] of [
    ['null', {}],
    ['{}', {}],
    ['{"k":"1","k":"2"}', { k: '2' }],
  ] as const) {
    for (const header of [
      `{"__metadata__":${metadata},"a":${f32(0, 4)}}`,
      `{"a":${f32(0, 4)},"__metadata__": ${metadata} }`,
    ]) {
      const checkpoint = await opened(t, file(header, new Uint8Array(4)));
      assert.deepEqual({ ...checkpoint.metadata }, expected);
      assert.equal(checkpoint.tensors.length, 1);
    }
  }
  const nested = `{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":${'['.repeat(100)}${']'.repeat(100)}}}`;
  assert.equal((await opened(t, file(nested, new Uint8Array(4)))).tensors.length, 1);
});

test('every dtype of the format is known, sub-byte F6 is refused with its reason', async (t) => {
  const bits = {
    BOOL: 8,
    U8: 8,
    I8: 8,
    F8_E5M2: 8,
    F8_E4M3: 8,
    F8_E8M0: 8,
    F8_E4M3FNUZ: 8,
    F8_E5M2FNUZ: 8,
    I16: 16,
    U16: 16,
    F16: 16,
    BF16: 16,
    I32: 32,
    U32: 32,
    F32: 32,
    C64: 64,
    F64: 64,
    I64: 64,
    U64: 64,
    F4: 4,
  };
  let at = 0;
  const header = Object.entries(bits).map(([dtype, width]) => {
    const begin = at;
    at += width;
    return `"${dtype}":${JSON.stringify({ dtype, shape: [2, 4], data_offsets: [begin, at] })}`;
  });
  const checkpoint = await opened(t, file(`{${header}}`, new Uint8Array(at)));
  for (const { path, tensor } of checkpoint.tensors) {
    assert.equal(DTYPES[tensor.dtype], Math.ceil(bits[path[0] as keyof typeof bits] / 8), path[0]);
    assert.deepEqual(tensor.shape, path[0] === 'F4' ? [2, 2] : [2, 4]);
  }
  const f6 = JSON.stringify({ x: { dtype: 'F6_E2M3', shape: [4], data_offsets: [0, 3] } });
  await assert.rejects(opened(t, file(f6, new Uint8Array(3))), /"x": F6_E2M3 packs four/);
});

test('empty tensors, scalars, an empty header and fields of the future are fine', async (t) => {
  const header = `{"e":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},"s":{"shape":[],"later":[1,{"a":[null,-1.5e3,"\\""]}],"data_offsets":[0,4],"dtype":"F32"}}`;
  const checkpoint = await opened(t, file(header, new Uint8Array(4)));
  assert.deepEqual(
    checkpoint.tensors.map(({ tensor }) => [tensor.shape, tensor.stride, tensor.storage.nbytes]),
    [
      [[0, 3], [3, 1], 0],
      [[], [], 4],
    ],
  );
  assert.equal((await opened(t, file('{}'))).tensors.length, 0);
});

const refused: [name: string, code: ErrorCode, reason: RegExp, bytes: Buffer][] = [
  ['a file of 7 bytes', 'ERR_MLFS_TRUNCATED', /has 7/, Buffer.alloc(7)],
  [
    'a header longer than allowed',
    'ERR_MLFS_SAFETENSORS',
    /declares a header of 100000001 bytes/,
    Buffer.from('01e1f50500000000', 'hex'),
  ],
  [
    'a header longer than the file',
    'ERR_MLFS_TRUNCATED',
    /header ends at byte 108/,
    Buffer.concat([Buffer.from('6400000000000000', 'hex'), Buffer.from('{}')]),
  ],
  ['a header of 0 bytes', 'ERR_MLFS_SAFETENSORS', /not a JSON object/, file('')],
  ['a list', 'ERR_MLFS_SAFETENSORS', /not a JSON object/, file('[]')],
  ['no JSON', 'ERR_MLFS_SAFETENSORS', /needs ","/, file('{"a":{"dtype":"F32" "shape":[]}}')],
  ['a trailing comma', 'ERR_MLFS_SAFETENSORS', /key/, file('{"__metadata__":{},}')],
  ['a second object', 'ERR_MLFS_SAFETENSORS', /goes on/, file('{}{}')],
  ['no UTF-8', 'ERR_MLFS_SAFETENSORS', /UTF-8/, file(Buffer.from('7b22ff223a7b7d7d', 'hex'))],
  ['half a surrogate pair', 'ERR_MLFS_SAFETENSORS', /JSON string/, file(`{"\\ud800":${f32(0, 0)}}`)],
  [
    'too much that is not known',
    'ERR_MLFS_LIMIT',
    /does not know/,
    file(`{"a":{"x":[${'0,'.repeat(600_000)}0]}}`),
  ],
  ['a raw newline in a name', 'ERR_MLFS_SAFETENSORS', /JSON string/, file(`{"\n":${f32(0, 0)}}`)],
  ['a string that does not end', 'ERR_MLFS_SAFETENSORS', /closing quote/, file('{"a\\"')],
  [
    'a name twice',
    'ERR_MLFS_SAFETENSORS',
    /"a" occurs twice/,
    file(`{"a":${f32(0, 4)},"a":${f32(4, 8)}}`, Buffer.alloc(8)),
  ],
  ['a field twice', 'ERR_MLFS_SAFETENSORS', /"shape" occurs twice/, file('{"a":{"shape":[1],"shape":[2]}}')],
  ['metadata that is no text', 'ERR_MLFS_SAFETENSORS', /__metadata__ "a"/, file('{"__metadata__":{"a":1}}')],
  [
    'a tensor without dtype',
    'ERR_MLFS_SAFETENSORS',
    /no dtype/,
    file('{"a":{"shape":[],"data_offsets":[0,4]}}'),
  ],
  [
    'one data offset',
    'ERR_MLFS_SAFETENSORS',
    /no data_offsets/,
    file('{"a":{"dtype":"U8","shape":[],"data_offsets":[0]}}'),
  ],
  [
    'three data offsets',
    'ERR_MLFS_SAFETENSORS',
    /more than 2/,
    file('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,2]}}'),
  ],
  [
    'a negative size',
    'ERR_MLFS_SAFETENSORS',
    /"a": shape holds/,
    file('{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}'),
  ],
  [
    'a size past 2^53',
    'ERR_MLFS_SAFETENSORS',
    /"a": shape holds/,
    file('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}'),
  ],
  [
    'an unknown dtype',
    'ERR_MLFS_SAFETENSORS',
    /F13 is not a dtype/,
    file('{"a":{"dtype":"F13","shape":[1],"data_offsets":[0,1]}}', Buffer.alloc(1)),
  ],
  [
    'half a byte of F4',
    'ERR_MLFS_SAFETENSORS',
    /whole bytes/,
    file('{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}', Buffer.alloc(2)),
  ],
  [
    'fewer bytes than the shape needs',
    'ERR_MLFS_SAFETENSORS',
    /takes 16 bytes, .* hold 8/,
    file(`{"a":${f32(0, 8, [4])}}`, Buffer.alloc(8)),
  ],
  ['a hole', 'ERR_MLFS_SAFETENSORS', /hole/, file(`{"a":${f32(0, 4)},"b":${f32(8, 12)}}`, Buffer.alloc(12))],
  [
    'an overlap',
    'ERR_MLFS_SAFETENSORS',
    /overlaps/,
    file(`{"a":${f32(0, 8)},"b":${f32(4, 12)}}`, Buffer.alloc(12)),
  ],
  [
    'an end before the start',
    'ERR_MLFS_SAFETENSORS',
    /end lies before/,
    file('{"a":{"dtype":"U8","shape":[],"data_offsets":[1,0]}}', Buffer.alloc(1)),
  ],
  [
    'data that is cut off',
    'ERR_MLFS_TRUNCATED',
    /tensors end at/,
    file(`{"a":${f32(0, 8)}}`, Buffer.alloc(7)),
  ],
  [
    'bytes after the data',
    'ERR_MLFS_SAFETENSORS',
    /do not cover/,
    file(`{"a":${f32(0, 8)}}`, Buffer.alloc(9)),
  ],
  ['nesting without end', 'ERR_MLFS_SAFETENSORS', /nests deeper/, file(`{"a":{"x":${'['.repeat(100_000)}`)],
];

for (const [name, code, reason, bytes] of refused) {
  test(`refused: ${name}`, async (t) => {
    await assert.rejects(opened(t, bytes), (error: unknown) => {
      assert.ok(error instanceof MlfsError, String(error));
      assert.deepEqual([error.code, error.exitCode], [code, 3]);
      assert.match(error.message, reason);
      assert.match(error.message, /model\.safetensors/);
      return true;
    });
  });
}

test('more tensors than the limit are refused before they cost memory', async (t) => {
  const tensors = Array.from(
    { length: 131_073 },
    (_, index) => `"${index}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`,
  );
  await assert.rejects(opened(t, file(`{${tensors}}`)), { code: 'ERR_MLFS_LIMIT' });
});

test('many tensors of many dimensions, or with long names, are refused before they cost memory', async (t) => {
  const header = (count: number, name: string, rank: number) =>
    Array.from(
      { length: count },
      (_, index) => `"${name}${index}":{"dtype":"U8","shape":[${Array(rank).fill(0)}],"data_offsets":[0,0]}`,
    ).join(',');
  await assert.rejects(opened(t, file(`{${header(24_577, '', 64)}}`)), {
    code: 'ERR_MLFS_LIMIT',
    message: /1572864 dimensions/,
  });
  await assert.rejects(opened(t, file(`{${header(40_000, 'n'.repeat(1000), 1)}}`)), {
    code: 'ERR_MLFS_LIMIT',
    message: /40000000 characters/,
  });
});

test('a damaged header is opened or refused with an MlfsError, whatever byte is changed', async (t) => {
  const header = `{"__metadata__":{"a":"b"},"w":${f32(0, 8, [1, 2])},"x":${f32(8, 12, [])}} `;
  const good = file(header, Buffer.alloc(12));
  const path = join(await temporaryDirectory(t), 'model.safetensors');
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }), async (at, value) => {
      const bytes = Buffer.from(good);
      bytes[at] = value;
      await writeFile(path, bytes);
      const image = new Image(await FileSource.open(path));
      try {
        await openSafetensors(image);
      } catch (error) {
        assert.ok(error instanceof MlfsError && error.exitCode === 3, String(error));
      } finally {
        await image.close();
      }
    }),
    { numRuns: 500 },
  );
});

test('members that are read at once are what the parser of any JSON reads, and so are their faults', async () => {
  const plainOnes: string[] = [];
  const outcome = async (json: Buffer, plain?: PlainMembers) => {
    try {
      const { tensors, metadata } = await parseSafetensorsHeader(json, 'm', 8, plain);
      return { ...tensors, byName: tensors.byName.entries, metadata };
    } catch (cause) {
      return messageOf(cause);
    }
  };
  class Counted extends PlainMembers {
    override read(start: number): boolean {
      const isRead = super.read(start);
      if (isRead) plainOnes.push(this.name);
      return isRead;
    }
  }
  class None extends PlainMembers {
    override read(): boolean {
      return false;
    }
  }
  const header = Buffer.from(
    `{"a.0":${f32(0, 24, [2, 3])},"__metadata__":{"k":"v"},"b":${f32(24, 32)},"c":${f32(32, 36, [])}} `,
  );
  assert.deepEqual(await outcome(header, new Counted(header)), await outcome(header, new None(header)));
  assert.deepEqual(plainOnes, ['a.0', 'b', 'c']);
  for (let at = 0; at < header.length; at++) {
    for (const byte of [0x00, 0x20, 0x22, 0x2c, 0x30, 0x31, 0x5b, 0x5c, 0x61, 0x7d, 0x80]) {
      const changed = Buffer.from(header);
      changed[at] = byte;
      const expected = await outcome(changed, new None(changed));
      assert.deepEqual(await outcome(changed, new Counted(changed)), expected, `${byte} at ${at}`);
    }
  }
});
