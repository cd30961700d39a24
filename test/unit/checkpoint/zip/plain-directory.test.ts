/** A directory that is read in one pass is what yauzl reads, and whatever yauzl refuses is refused by it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCentralDirectory } from '../../../../src/checkpoint/zip/central-directory.ts';
import { readEndRecord } from '../../../../src/checkpoint/zip/end-record.ts';
import { addPlainRecords } from '../../../../src/checkpoint/zip/plain-directory.ts';
import { messageOf } from '../../../../src/errors.ts';
import type { ByteSource } from '../../../../src/storage/byte-source.ts';
import { buildZip, DEFLATED } from '../../../hostile/zip-builder.ts';

function sourceOf(bytes: Buffer): ByteSource {
  const read = (offset: number, length: number) => Promise.resolve(bytes.subarray(offset, offset + length));
  return { path: 'm.zip', size: bytes.length, read };
}

/** How many directories were read in one pass. */
let plain = 0;

async function outcome(bytes: Buffer, how: 'in one pass' | 'by yauzl'): Promise<unknown> {
  const source = sourceOf(bytes);
  try {
    const end = await readEndRecord(source);
    const { table } = await readCentralDirectory(source, end, 0, function* (...parts) {
      if (how === 'by yauzl') return false;
      const isRead = yield* addPlainRecords(...parts);
      if (isRead) plain++;
      return isRead;
    });
    return table
      .entries()
      .map(({ name, method, crc32, compressedSize, size, localHeaderOffset, centralOffset }) => ({
        name,
        method,
        crc32,
        compressedSize,
        size,
        localHeaderOffset,
        centralOffset,
      }));
  } catch (cause) {
    return messageOf(cause);
  }
}

const ARCHIVE = buildZip([
  { name: 'm/data.pkl', content: Buffer.from('a pickle') },
  { name: 'm/data/0', content: Buffer.from('0123456789') },
  { name: 'm/data/ä', content: Buffer.from('of another language'), method: DEFLATED },
  { name: 'm/version', content: Buffer.from('3\n') },
]);

test('a plain directory is read in one pass', async () => {
  plain = 0;
  const entries = await outcome(ARCHIVE, 'in one pass');
  assert.equal(plain, 1);
  assert.deepEqual(entries, await outcome(ARCHIVE, 'by yauzl'));
  assert.equal((entries as unknown[]).length, 4);
});

test('a directory with any byte changed is read, or refused, as yauzl says', async () => {
  const start = ARCHIVE.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
  assert.ok(start > 0);
  plain = 0;
  for (let at = start; at < ARCHIVE.length; at++) {
    for (const byte of [0x00, 0x01, 0x08, 0x2e, 0x2f, 0x30, 0x3a, 0x5c, 0x7f, 0x80, 0xff]) {
      const changed = Buffer.from(ARCHIVE);
      changed[at] = byte;
      const expected = await outcome(changed, 'by yauzl');
      assert.deepEqual(await outcome(changed, 'in one pass'), expected, `${byte} at ${at}`);
    }
  }
  assert.ok(plain > 100, `${plain} were read in one pass`);
});
