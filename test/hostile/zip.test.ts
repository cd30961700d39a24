import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { readArchive } from '../../src/checkpoint/zip/archive.ts';
import { readEntry } from '../../src/checkpoint/zip/read-entry.ts';
import { type ErrorCode, MlfsError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/storage/byte-source.ts';
import { assertExplained } from '../support/clean-text.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { buildZip, DEFLATED, type EndPlan, type EntryPlan, zip64End } from './zip-builder.ts';

/** An archive in memory, with the promises of a file: reading past its end is ERR_MLFS_TRUNCATED. */
function source(bytes: Buffer): ByteSource {
  return {
    path: 'hostile.pt',
    size: bytes.length,
    async read(offset, length) {
      if (offset < 0 || offset + length > bytes.length) {
        throw new MlfsError('ERR_MLFS_TRUNCATED', 'hostile.pt: past the end');
      }
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
  };
}

const good: EntryPlan[] = [{ name: 'm/data.pkl' }, { name: 'm/data/0', content: new Uint8Array(100) }];
const zip = (changed: Partial<EntryPlan>, end: EndPlan = {}) =>
  buildZip([{ name: 'm/data.pkl' }, { name: 'm/data/0', ...changed }, { name: 'm/version' }], end);

/** Each is named after the message it provokes. */
const refusals: [message: RegExp, code: ErrorCode, bytes: Buffer][] = [
  [/has no end-of-central-directory record, so it is not a zip archive/, 'ERR_MLFS_ZIP', Buffer.alloc(0)],
  [
    /has no end-of-central-directory record, so it is not a zip archive/,
    'ERR_MLFS_ZIP',
    Buffer.alloc(70_000),
  ],
  [
    /starts as a zip archive and has no end-of-central-directory record: the file is truncated/,
    'ERR_MLFS_TRUNCATED',
    buildZip(good).subarray(0, -23),
  ],
  [
    /the archive comment at byte \d+ has 50 bytes, but the file ends/,
    'ERR_MLFS_TRUNCATED',
    buildZip(good, { commentLength: 50 }),
  ],
  [/the archive spans several disks/, 'ERR_MLFS_ZIP', buildZip(good, { disk: 1 })],
  [/the archive spans several disks/, 'ERR_MLFS_ZIP', buildZip(good, { diskEntryCount: 1 })],
  [/the archive spans several disks/, 'ERR_MLFS_ZIP', buildZip(good, { zip64: zip64End({ disk: 2 }) })],
  [/the archive spans several disks/, 'ERR_MLFS_ZIP', buildZip(good, { zip64: zip64End({ disks: 3 }) })],
  [/wrong central directory offset or size/, 'ERR_MLFS_ZIP', buildZip(good, { centralOffset: 1 })],
  [/wrong central directory offset or size/, 'ERR_MLFS_ZIP', buildZip(good, { centralSize: 1 })],
  [/lies past its end record/, 'ERR_MLFS_ZIP', buildZip(good, { centralOffset: 0xfffffff0 })],
  [/record 1 of the central directory, at byte \d+: invalid/, 'ERR_MLFS_ZIP', brokenSignature()],
  [
    /wrong central directory size or number of entries: 1 records/,
    'ERR_MLFS_ZIP',
    buildZip(good, { entryCount: 1 }),
  ],
  [/record 2 of the central directory/, 'ERR_MLFS_ZIP', buildZip(good, { entryCount: 3 })],
  [
    /the archive declares 262145 entries; the limit is 262144/,
    'ERR_MLFS_LIMIT',
    buildZip(good, { entryCount: 0xffff, zip64: zip64End({ entryCount: 262145n }) }),
  ],
  [
    /the archive declares Infinity entries/,
    'ERR_MLFS_LIMIT',
    buildZip(good, { entryCount: 0xffff, zip64: zip64End({ entryCount: 2n ** 63n }) }),
  ],
  [/the central directory has \d+ bytes; the limit is/, 'ERR_MLFS_LIMIT', hugeDirectory()],
  [
    /the end records disagree on the number of entries: 2, but 3/,
    'ERR_MLFS_ZIP_MISMATCH',
    buildZip(good, { zip64: zip64End({ entryCount: 3n }) }),
  ],
  [
    /the end records disagree on the offset/,
    'ERR_MLFS_ZIP_MISMATCH',
    buildZip(good, { zip64: zip64End(), centralOffset: 3 }),
  ],
  [
    /the ZIP64 end record would be at byte \d+, past its locator/,
    'ERR_MLFS_ZIP',
    buildZip(good, { zip64: zip64End({ recordOffset: 2n ** 64n - 1n }) }),
  ],
  [
    /does not hold the ZIP64 end record/,
    'ERR_MLFS_ZIP',
    buildZip(good, { zip64: zip64End({ signature: 1 }) }),
  ],
  [
    /does not end at its locator/,
    'ERR_MLFS_ZIP',
    buildZip(good, { zip64: zip64End({ recordSize: 2n ** 64n - 1n }) }),
  ],
  [
    /the central directory \(18446744073709551615 bytes/,
    'ERR_MLFS_ZIP',
    buildZip(good, { zip64: zip64End({ centralSize: 2n ** 64n - 1n }) }),
  ],
  [/entry "m\/version": the name occurs twice/, 'ERR_MLFS_ZIP_DUPLICATE', zip({ name: 'm/version' })],
  [/entry "m\/data\/0": is encrypted/, 'ERR_MLFS_ZIP_ENCRYPTED', zip({ flags: 1 })],
  [/entry "m\/data\/0": is encrypted/, 'ERR_MLFS_ZIP_ENCRYPTED', zip({ flags: 0x41 })],
  [/entry "m\/data\/0": is encrypted/, 'ERR_MLFS_ZIP_ENCRYPTED', zip({ method: 99 })],
  [
    /entry "m\/data\/0": is compressed with method 93 \(Zstandard\)/,
    'ERR_MLFS_ZIP_METHOD',
    zip({ method: 93 }),
  ],
  [/entry "m\/data\/0": is compressed with method 4242;/, 'ERR_MLFS_ZIP_METHOD', zip({ method: 4242 })],
  [/entry "m\/..\/..\/etc": the name leaves the archive/, 'ERR_MLFS_ZIP_NAME', zip({ name: 'm/../../etc' })],
  [/entry "..": the name leaves the archive/, 'ERR_MLFS_ZIP_NAME', zip({ name: '..' })],
  [/entry "\/etc\/passwd": the name is an absolute path/, 'ERR_MLFS_ZIP_NAME', zip({ name: '/etc/passwd' })],
  [/entry "C:\/x": the name is an absolute path/, 'ERR_MLFS_ZIP_NAME', zip({ name: 'C:/x' })],
  [/entry "a\\u0000b": the name holds a NUL/, 'ERR_MLFS_ZIP_NAME', zip({ name: 'a\0b' })],
  [/the name holds a backslash/, 'ERR_MLFS_ZIP_NAME', zip({ name: '..\\..\\x' })],
  [/entry "": the name is empty/, 'ERR_MLFS_ZIP_NAME', zip({ name: '' })],
  [
    /the name is flagged as UTF-8 and is not/,
    'ERR_MLFS_ZIP_NAME',
    zip({ name: Buffer.from([0x6d, 0xff]), flags: 0x800 }),
  ],
  [/entry "m\/data\/0": is stored, yet takes 7 bytes for 8/, 'ERR_MLFS_ZIP_MISMATCH', zip({ size: 8 })],
  [
    /entry "m\/data\/0": cannot inflate from \d+ bytes to the 4000000000 it declares/,
    'ERR_MLFS_ZIP',
    zip({ method: DEFLATED, size: 4_000_000_000 }),
  ],
  [
    /entry "m\/data\/0": its 5000 bytes of data, .* would end past/,
    'ERR_MLFS_ZIP',
    zip({ size: 5000, compressedSize: 5000 }),
  ],
  [
    /entry "m\/data\/0": its 7 bytes of data, .* would end past/,
    'ERR_MLFS_ZIP',
    zip({ localHeaderOffset: 9999 }),
  ],
  [
    /entry "m\/data\/0": its 18446744073709552000 bytes of data/,
    'ERR_MLFS_ZIP',
    zip({ size: 0xffffffff, compressedSize: 0xffffffff, extra: zip64Extra(2n ** 64n - 1n, 2n ** 64n - 1n) }),
  ],
  [
    /record 1 .*does not include uncompressed size/,
    'ERR_MLFS_ZIP',
    zip({ size: 0xffffffff, compressedSize: 0xffffffff, extra: zip64Extra() }),
  ],
  [/extra field length exceeds/, 'ERR_MLFS_ZIP', zip({ extra: Buffer.from([1, 0, 255, 255]) })],
  [/entry "m\/data\/0": lies on another disk/, 'ERR_MLFS_ZIP', zip({ diskStart: 3 })],
  [
    /there is no local header at byte \d+ \(0x12345678\)/,
    'ERR_MLFS_ZIP_MISMATCH',
    zip({ local: { signature: 0x12345678 } }),
  ],
  [/disagree on the flags: 0x8, 0x0/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { flags: 8 } })],
  [/disagree on the flags: 0x1, 0x0/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { flags: 1 } })],
  [/disagree on the method: 8, stored/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { method: 8 } })],
  [/disagree on the name: "m\/data\/1"/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { name: 'm/data/1' } })],
  [/disagree on the name's length: 1, 8/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { name: 'm' } })],
  [/disagree on the size: 6, 7/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { size: 6 } })],
  [/disagree on the compressed size: 6, 7/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { compressedSize: 6 } })],
  [/disagree on the size: 6, 7/, 'ERR_MLFS_ZIP_MISMATCH', zip({ flags: 8, local: { size: 6 } })],
  [
    /disagree on the size: 99, 7/,
    'ERR_MLFS_ZIP_MISMATCH',
    zip({ local: { size: 0xffffffff, compressedSize: 0xffffffff, extra: zip64Extra(99n, 7n) } }),
  ],
  [/disagree on the size: 4294967295, 7/, 'ERR_MLFS_ZIP_MISMATCH', zip({ local: { size: 0xffffffff } })],
  [
    /entry "m\/data\/0": bytes 47 to 112 overlap entry "m\/version" at byte 92/,
    'ERR_MLFS_ZIP_OVERLAP',
    localExtraLongerThanTold(zip({}), 1),
  ],
  [/entry "a": bytes 0 to \d+ overlap entry "b" at byte 31/, 'ERR_MLFS_ZIP_OVERLAP', entryInsideAnother()],
  [/overlap the central directory/, 'ERR_MLFS_ZIP_OVERLAP', localExtraLongerThanTold(zip({}), 2)],
];

function brokenSignature(): Buffer {
  const bytes = buildZip(good);
  bytes[bytes.lastIndexOf('PK\x01\x02')] = 0;
  return bytes;
}

function hugeDirectory(): Buffer {
  const bytes = Buffer.alloc(70 * 1024 * 1024);
  const end = buildZip([], { centralSize: bytes.length });
  return Buffer.concat([bytes, end]);
}

function zip64Extra(...values: bigint[]): Buffer {
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, index) => {
    extra.writeBigUInt64LE(value, 4 + 8 * index);
  });
  return extra;
}

/** b is listed where the data of a hold what looks like it: the way of overlapping zip bombs. */
function entryInsideAnother(): Buffer {
  const b = buildZip([{ name: 'b' }]);
  return buildZip([
    { name: 'a', content: b.subarray(0, b.indexOf('PK\x01\x02')) },
    { name: 'b', localHeaderOffset: 31 },
  ]);
}

/** Gives a local header 20 bytes of extra field that the central directory knows nothing of. */
function localExtraLongerThanTold(bytes: Buffer, index: number): Buffer {
  let local = 0;
  for (let skip = 0; skip < index; skip++) local = bytes.indexOf('PK\x03\x04', local + 1);
  bytes.writeUInt16LE(20, local + 28);
  return bytes;
}

/** The message that a pattern stands for. */
function sentence(message: RegExp): string {
  return message.source.replaceAll('\\d+', 'N').replaceAll('.*', '…').replace(/\\(.)/g, '$1');
}

for (const [message, code, bytes] of refusals) {
  test(`refused: ${sentence(message)}`, async () => {
    await assert.rejects(readArchive(source(bytes)), (error: unknown) => {
      assertExplained(error);
      assert.match(error.message, message);
      assert.match(error.message, /^hostile\.pt: /);
      assert.deepEqual([error.code, error.exitCode], [code, 3]);
      return true;
    });
  });
}

test('a local CRC-32 that is not the central one, and bytes after the archive, are warnings', async () => {
  const { entries, warnings } = await readArchive(
    source(zip({ local: { crc: 1 } }, { after: Buffer.from('<html>') })),
  );
  assert.equal(entries.length, 3);
  const messages = warnings.map(({ message }) => message).join('\n');
  assert.match(messages, /6 bytes after the end of the archive/);
  assert.match(messages, /entry "m\/data\/0": the CRC-32 in its local header is 0x00000001/);
});

test('a deflated entry that is damaged, longer or shorter than declared, or too large is refused when it is read', async () => {
  const deflated = { name: 'x', method: DEFLATED, content: Buffer.alloc(1000, 'ab') };
  const cases: [Partial<EntryPlan>, RegExp, ErrorCode][] = [
    [{ raw: Buffer.from([0xff, 0xff, 0xff]), size: 100 }, /cannot be inflated/, 'ERR_MLFS_ZIP'],
    [{ size: 999 }, /inflates to more than the 999 bytes/, 'ERR_MLFS_ZIP'],
    [{ size: 1001 }, /inflates to 1000 bytes, not to the 1001/, 'ERR_MLFS_ZIP'],
    [{ content: Buffer.alloc(5001) }, /has 5001 bytes; the limit is 5000/, 'ERR_MLFS_LIMIT'],
    [{ raw: Buffer.alloc(6000), size: 10 }, /has 6000 bytes; the limit is 5000/, 'ERR_MLFS_LIMIT'],
  ];
  for (const [change, message, code] of cases) {
    const image = source(buildZip([{ ...deflated, ...change }]));
    const [entry] = (await readArchive(image)).entries;
    assert.ok(entry);
    await assert.rejects(readEntry(image, entry, 5000), { code, message });
  }
});

/** Opens and reads everything; whatever it is, it must be fine or refused with an MlfsError. */
async function openOrRefuse(bytes: Buffer): Promise<boolean> {
  try {
    const image = source(bytes);
    const { entries } = await readArchive(image);
    for (const entry of entries) await readEntry(image, entry, 1 << 20);
    return true;
  } catch (error) {
    assertExplained(error);
    assert.equal(error.exitCode, 3);
    return false;
  }
}

async function smallCheckpoint(directory: string): Promise<Buffer> {
  const path = join(directory, 'small.pt');
  await writeTorchZip(path, {
    tensors: [
      { name: 'w', dtype: 'float32', shape: [2], fill: new Uint8Array(8) },
      { name: 'e', dtype: 'float32', shape: [0], fill: new Uint8Array(0) },
    ],
  });
  return readFile(path);
}

test('a checkpoint cut off anywhere is refused, at every length', async (t) => {
  const bytes = await smallCheckpoint(await temporaryDirectory(t));
  assert.ok(await openOrRefuse(bytes));
  for (let length = 0; length < bytes.length; length++) {
    assert.equal(await openOrRefuse(bytes.subarray(0, length)), false, `the first ${length} bytes`);
  }
});

test('a checkpoint with any bytes changed is opened or refused, and never crashes or hangs', async (t) => {
  const torch = await smallCheckpoint(await temporaryDirectory(t));
  const mixed = buildZip(
    [
      { name: 'a', method: DEFLATED },
      { name: 'b/', content: new Uint8Array(0) },
      { name: 'c', flags: 8, trailer: Buffer.alloc(16) },
    ],
    { zip64: zip64End(), comment: Buffer.from('a comment') },
  );
  const change = fc.record({ at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(torch, mixed),
      fc.array(change, { minLength: 1, maxLength: 4 }),
      async (original, changes) => {
        const bytes = Buffer.from(original);
        for (const { at, value } of changes) bytes[at % bytes.length] = value;
        await openOrRefuse(bytes);
      },
    ),
    { numRuns: 3000 },
  );
});

test('bytes that only look like an archive are opened or refused', async () => {
  const signatures = ['PK\x03\x04', 'PK\x01\x02', 'PK\x05\x06', 'PK\x06\x06', 'PK\x06\x07', 'PK\x07\x08'];
  const piece = fc.oneof(
    fc.constantFrom(...signatures).map((text) => Buffer.from(text, 'latin1')),
    fc.uint8Array({ maxLength: 60 }),
    fc.nat({ max: 60 }).map((length) => new Uint8Array(length)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
      await openOrRefuse(Buffer.concat(pieces));
    }),
    { numRuns: 1000 },
  );
});
