import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { copyFile, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MlfsError } from '../../../src/errors.ts';
import { abandonEdits } from '../../../src/storage/abandon-edits.ts';
import { ByteRanges } from '../../../src/storage/byte-ranges.ts';
import { Checksums } from '../../../src/storage/checksums.ts';
import { crc32 } from '../../../src/storage/crc32.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { type CommitReport, Edits, type EditsLimits } from '../../../src/storage/edits.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import type { FileStructure } from '../../../src/storage/file-structure.ts';
import { Image } from '../../../src/storage/image.ts';
import { StateDirectory } from '../../../src/storage/state-directory.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

/** A file of our own kind: content, then a directory of 64 bytes that begins with the content's CRC-32. */
const CONTENT_BYTES = 3 * 1024 * 1024 + 77;
const FIELD = CONTENT_BYTES;
const SIZE = CONTENT_BYTES + 64;

function fileBytes(seed = 1): Buffer {
  const bytes = Buffer.alloc(SIZE);
  let state = seed;
  for (let at = 0; at < CONTENT_BYTES; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[at] = state >>> 24;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CONTENT_BYTES)), FIELD);
  return bytes;
}

function structureOf(bytes: Buffer): FileStructure {
  const range = { offset: 0, length: CONTENT_BYTES, crc32: bytes.readUInt32LE(FIELD), fields: [FIELD] };
  return {
    identity: [{ offset: FIELD, length: 64 }],
    checksums: new Checksums([range]),
    writable: new ByteRanges([range]),
  };
}

interface Opened {
  readonly edits: Edits;
  readonly image: Image;
  readonly structure: FileStructure;
  close(): Promise<void>;
}

async function open(path: string, options: EditsLimits = {}): Promise<Opened> {
  const state = await StateDirectory.locate(diskMedium, path);
  const edits = await Edits.recover(diskMedium, path, state, options);
  const image = new Image(await FileSource.open(path));
  const structure = structureOf(await image.base.read(0, SIZE));
  const close = async () => {
    await edits.close();
    await image.close();
  };
  try {
    await edits.attach(image, structure);
  } catch (cause) {
    await close();
    throw cause;
  }
  return { edits, image, structure, close };
}

async function sample(t: TestContext): Promise<{ folder: string; path: string; bytes: Buffer }> {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'model.bin');
  const bytes = fileBytes();
  await writeFile(path, bytes);
  return { folder, path, bytes };
}

const write = (image: Image, offset: number, bytes: Uint8Array) =>
  image.update((update) => update.write(offset, bytes));

/** The image with the checksums that an export shows. */
async function exported({ image, structure }: Opened): Promise<Buffer> {
  const bytes = await image.read(0, image.size);
  for (const patch of structure.checksums.patches()) patch.bytes.copy(bytes, patch.offset);
  return bytes;
}

function withChecksum(content: Buffer): Buffer {
  const bytes = Buffer.from(content);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CONTENT_BYTES)), FIELD);
  return bytes;
}

function edited(bytes: Buffer, ...edits: readonly (readonly [number, Uint8Array])[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const [offset, change] of edits) copy.set(change, offset);
  return withChecksum(copy);
}

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const same = (actual: Uint8Array, expected: Uint8Array, what?: string) =>
  assert.equal(sha(actual), sha(expected), what);

test('equal bytes change nothing and leave no state directory', async (t) => {
  const { folder, path, bytes } = await sample(t);
  const opened = await open(path);
  await write(opened.image, 1000, bytes.subarray(1000, 900_000));
  assert.equal(opened.edits.dirty, false);
  await opened.edits.flush();
  await opened.close();
  assert.deepEqual(await readdir(folder), ['model.bin']);
});

test('an edit is read back at once, only its differing bytes are dirty, and the file stays as it is', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  const change = Buffer.from(bytes.subarray(2_000_000, 2_100_000));
  change[5] = (change[5] as number) ^ 1;
  change.fill(9, 50_000, 50_100);
  await write(opened.image, 2_000_000, change);
  same(
    await opened.image.read(0, CONTENT_BYTES),
    edited(bytes, [2_000_000, change]).subarray(0, CONTENT_BYTES),
  );
  same(await opened.image.read(2_000_003, 70_001), change.subarray(3, 70_004));
  assert.ok(opened.edits.status.dirtyBytes <= 101, `${opened.edits.status.dirtyBytes} bytes are dirty`);
  assert.ok(opened.edits.status.dirtyRanges >= 2);
  same(await readFile(path), bytes);
  same(await exported(opened), edited(bytes, [2_000_000, change]));
});

test('edits come back with the next opening', async (t) => {
  const { path, bytes } = await sample(t);
  const first = await open(path);
  const change = randomBytes(1_500_000);
  await write(first.image, 700_000, change);
  await write(first.image, 800_000, Buffer.alloc(10));
  await first.close();
  const second = await open(path);
  t.after(second.close);
  const expected = edited(bytes, [700_000, change], [800_000, Buffer.alloc(10)]);
  same(await exported(second), expected);
  const report = await second.edits.commit();
  assert.ok(report.bytes >= 1_490_000);
  same(await readFile(path), expected);
});

test('a 4 KiB edit costs 64 bytes more, the first one too', async (t) => {
  const { path } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  let before = 0;
  for (const offset of [5000, 123_456, 2_999_999]) {
    await write(opened.image, offset, randomBytes(4096));
    const { bytes } = opened.edits.status.journal;
    assert.ok(bytes - before <= 4096 + 64, `${bytes - before} bytes`);
    before = bytes;
  }
});

test('a commit changes the dirty bytes and the checksum and leaves nothing in the journal', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  const change = randomBytes(5000);
  await write(opened.image, 1_048_000, change);
  const planned = await opened.edits.commit({ dryRun: true });
  same(await readFile(path), bytes, 'a dry run changes nothing');
  const report = await opened.edits.commit();
  assert.deepEqual({ ...report, milliseconds: 0 }, { ...planned, milliseconds: 0 });
  assert.equal(report.checksums, 1);
  same(await readFile(path), edited(bytes, [1_048_000, change]));
  assert.equal(opened.edits.dirty, false);
  assert.equal(opened.edits.status.journal.bytes, 0);
  same(await opened.image.read(0, SIZE), await readFile(path));

  const again = randomBytes(300);
  await write(opened.image, 1_050_000, again);
  await opened.edits.commit();
  same(await readFile(path), edited(bytes, [1_048_000, change], [1_050_000, again]));
});

test('writing goes on while a commit is carried out, and belongs to the next', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  const change = randomBytes(2_000_000);
  await write(opened.image, 0, change);
  let during: Promise<void> | undefined;
  await opened.edits.commit({
    onProgress: () => {
      during ??= write(opened.image, 100, Buffer.from('while it was committed'));
    },
  });
  await during;
  const both = edited(bytes, [0, change], [100, Buffer.from('while it was committed')]);
  same(await exported(opened), both);
  if (opened.edits.dirty) same(await readFile(path), edited(bytes, [0, change]));
  await opened.edits.commit();
  same(await readFile(path), both);
});

test('an atomic update that fails has changed nothing, now and after a new opening', async (t) => {
  const { path, bytes } = await sample(t);
  const first = await open(path);
  await write(first.image, 10, Buffer.from('kept'));
  const failing = first.image.update(
    async (update) => {
      await update.write(20, randomBytes(1000));
      await update.write(200_000, randomBytes(1000));
      throw new Error('the reader of the new bytes gave up');
    },
    { atomic: true },
  );
  await assert.rejects(failing, /gave up/);
  const expected = edited(bytes, [10, Buffer.from('kept')]);
  same(await exported(first), expected);
  await first.close();
  const second = await open(path);
  t.after(second.close);
  same(await exported(second), expected);
});

test('an atomic update is seen whole or not at all', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  const parts = [0, 1_100_000, 2_200_000].map((offset) => ({ offset, change: randomBytes(700_000) }));
  const seen: string[] = [];
  const update = opened.image.update(
    async (task) => {
      for (const { offset, change } of parts) {
        await task.write(offset, change);
        seen.push(sha(await opened.image.read(0, CONTENT_BYTES)));
      }
    },
    { atomic: true },
  );
  await update;
  const old = sha(bytes.subarray(0, CONTENT_BYTES));
  assert.deepEqual(seen, [old, old, old]);
  same(
    await exported(opened),
    edited(bytes, ...parts.map(({ offset, change }) => [offset, change] as const)),
  );
});

test('listeners hear of a change before it is acknowledged', async (t) => {
  const { path } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  const heard: string[] = [];
  opened.image.onChange(({ ranges, chunks }) => heard.push(`${ranges.length} ${[...chunks]}`));
  await write(opened.image, 1_048_570, randomBytes(20));
  heard.push('acknowledged');
  assert.deepEqual(heard, ['1 0,1', 'acknowledged']);
});

test('discarding brings the file back as it was saved', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path);
  await write(opened.image, 77, randomBytes(5000));
  const report = await opened.edits.discard();
  assert.ok(report.bytes > 4900);
  same(await exported(opened), bytes);
  await write(opened.image, 77, Buffer.from('new'));
  await opened.close();
  const next = await open(path);
  t.after(next.close);
  same(await exported(next), edited(bytes, [77, Buffer.from('new')]));
});

test('a copy with the edits appears whole, and the edits stay', async (t) => {
  const { folder, path, bytes } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  const change = randomBytes(9999);
  await write(opened.image, 1_000_000, change);
  const copy = join(folder, 'copy.bin');
  await opened.edits.commitTo(copy);
  same(await readFile(copy), edited(bytes, [1_000_000, change]));
  same(await readFile(path), bytes);
  assert.equal(opened.edits.dirty, true);
  await assert.rejects(opened.edits.commitTo(copy), (error: MlfsError) => error.errno === 'EEXIST');
  await opened.edits.commitTo(copy, { overwrite: true });
  assert.deepEqual((await readdir(folder)).sort(), ['copy.bin', 'model.bin', 'model.bin.mlfs']);
});

test('a commit to a file that was replaced or changed is refused and changes nothing', async (t) => {
  const { folder, path, bytes } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  await write(opened.image, 5, Buffer.from('edit'));
  await copyFile(path, join(folder, 'other'));
  await rename(join(folder, 'other'), path);
  await assert.rejects(opened.edits.commit(), { code: 'ERR_MLFS_STALE' });
  same(await readFile(path), bytes);
  assert.equal(opened.edits.dirty, true);
});

test('updates of a stale image are ESTALE', async (t) => {
  const { path } = await sample(t);
  const opened = await open(path);
  t.after(opened.close);
  opened.edits.stale = true;
  await assert.rejects(write(opened.image, 5, Buffer.from('edit')), { errno: 'ESTALE' });
});

test('edits of another file are not applied; of a copy of the same file they are', async (t) => {
  const { path, bytes } = await sample(t);
  const first = await open(path);
  await write(first.image, 5, Buffer.from('edit'));
  await first.close();
  await writeFile(path, fileBytes(2));
  await assert.rejects(open(path), { code: 'ERR_MLFS_RECOVERY' });
  await writeFile(path, bytes);
  const again = await open(path);
  t.after(again.close);
  same(await exported(again), edited(bytes, [5, Buffer.from('edit')]));
});

test('edits that fit no file any more can be dropped', async (t) => {
  const { path } = await sample(t);
  const first = await open(path);
  await write(first.image, 5, Buffer.from('edit'));
  await first.close();
  const other = fileBytes(2);
  await writeFile(path, other);
  const report = await abandonEdits(await StateDirectory.locate(diskMedium, path));
  assert.ok(report.bytes > 0);
  const opened = await open(path);
  t.after(opened.close);
  same(await exported(opened), other);
});

test('the limit of the journal is ENOSPC, reading goes on, and a commit makes room', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path, { limitBytes: 200_000 });
  t.after(opened.close);
  const first = randomBytes(150_000);
  await write(opened.image, 0, first);
  await assert.rejects(write(opened.image, 500_000, randomBytes(100_000)), { errno: 'ENOSPC' });
  same(await exported(opened), edited(bytes, [0, first]));
  await opened.edits.commit();
  const second = randomBytes(100_000);
  await write(opened.image, 500_000, second);
  same(await exported(opened), edited(bytes, [0, first], [500_000, second]));
});

test('writing the same place over and over keeps the journal small', async (t) => {
  const { path, bytes } = await sample(t);
  const limitBytes = 4_000_000;
  const first = await open(path, { limitBytes });
  let last = Buffer.alloc(0);
  for (let round = 0; round < 40; round++) {
    last = randomBytes(300_000);
    await write(first.image, 1_000_000 + round, last);
    // A compaction has its turn between the updates.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const expected = await exported(first);
  same(expected.subarray(1_000_039, 1_300_039), last);
  assert.ok(first.edits.status.journal.bytes <= limitBytes);
  await first.close();
  const second = await open(path);
  t.after(second.close);
  same(await exported(second), expected);
  await second.edits.commit();
  same(await readFile(path), expected);
  assert.notEqual(sha(expected), sha(bytes));
});

test('thousands of scattered edits of a chunk are joined, and stay right', async (t) => {
  const { path, bytes } = await sample(t);
  const first = await open(path);
  const content = Buffer.from(bytes);
  // Not near each other, and beyond the first chunk one that is: only what is near is joined.
  for (let at = 0; at < 1_000_000; at += 200) content[at] = (content[at] as number) ^ 0xff;
  content[2_500_000] = (content[2_500_000] as number) ^ 0xff;
  await write(first.image, 0, content.subarray(0, CONTENT_BYTES));
  await write(first.image, 5, Buffer.from('after the joining'));
  const expected = edited(content, [5, Buffer.from('after the joining')]);
  // The joined one, cut by what was written into it.
  assert.equal(first.image.overlay.chunk(0).length, 3);
  assert.equal(first.image.overlay.chunk(2).length, 1);
  same(await exported(first), expected);
  await first.close();
  const second = await open(path);
  t.after(second.close);
  same(await exported(second), expected);
  await second.edits.commit();
  same(await readFile(path), expected);
});

test('a second opening for writing is refused and names the process', async (t) => {
  const { path } = await sample(t);
  const first = await open(path);
  t.after(first.close);
  await write(first.image, 5, Buffer.from('edit'));
  await assert.rejects(open(path), (error: MlfsError) => {
    assert.equal(error.code, 'ERR_MLFS_BUSY');
    assert.match(error.message, new RegExp(`\\b${process.pid}\\b`));
    return true;
  });
});

test('a state directory with nothing in it goes when it is closed', async (t) => {
  const { folder, path } = await sample(t);
  const opened = await open(path);
  await write(opened.image, 5, Buffer.from('edit'));
  await opened.edits.discard();
  await opened.close();
  assert.deepEqual(await readdir(folder), ['model.bin']);
  assert.equal((await stat(path)).size, SIZE);
});

test('a commit that is running when the edits are closed ends first, and everybody who closes waits for it', async (t) => {
  const { path, bytes } = await sample(t);
  const opened = await open(path);
  await write(opened.image, 0, Buffer.from('first'));
  await write(opened.image, 2_000_000, Buffer.from('second'));
  const order: string[] = [];
  let committing: Promise<CommitReport> | undefined;
  await new Promise<void>((begun) => {
    committing = opened.edits.commit({ onProgress: () => begun() }).then((report) => {
      order.push('committed');
      return report;
    });
  });
  const queued = opened.edits.commit();
  const closing = [1, 2].map(() => opened.edits.close().then(() => order.push('closed')));
  await assert.rejects(opened.edits.commit(), { errno: 'EROFS' });
  await assert.rejects(opened.edits.discard(), { errno: 'EROFS' });
  await assert.rejects(opened.edits.commitTo(`${path}.copy`), { errno: 'EROFS' });
  await assert.rejects(write(opened.image, 0, Buffer.from('late')), { errno: 'EROFS' });
  await Promise.all(closing);
  assert.equal((await committing)?.bytes, 11);
  assert.equal((await queued).bytes, 0);
  assert.deepEqual(order, ['committed', 'closed', 'closed']);
  await opened.close();
  same(await readFile(path), edited(bytes, [0, Buffer.from('first')], [2_000_000, Buffer.from('second')]));
  const again = await open(path);
  assert.equal(again.edits.interruptedCommit, false);
  assert.equal(again.edits.dirty, false);
  await again.close();
});
