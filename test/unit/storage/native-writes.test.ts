/** Edits whose image has a lane: another writer of the journal, which is played here. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ByteRanges } from '../../../src/storage/byte-ranges.ts';
import { Checksums } from '../../../src/storage/checksums.ts';
import { crc32 } from '../../../src/storage/crc32.ts';
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { Edits } from '../../../src/storage/edits.ts';
import { FileSource } from '../../../src/storage/file-source.ts';
import { Image } from '../../../src/storage/image.ts';
import { encodeRecord, KIND, RECORD_HEADER_BYTES } from '../../../src/storage/journal/record.ts';
import { StateDirectory } from '../../../src/storage/state-directory.ts';
import type { LaneTarget, LaneWrite, LaneWrites, WriteLane } from '../../../src/storage/write-lane.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const CONTENT_BYTES = 100_000;
const SIZE = CONTENT_BYTES + 4;

/** Appends whole records to the journal, as session threads do, while it is open. */
class PlayedLane implements WriteLane {
  readonly wanted = true;
  #target: LaneTarget | undefined;
  #position = 0;
  #sequence = 0;
  #writes: LaneWrite[] = [];
  durable = 0;

  open(target: LaneTarget): void {
    this.#target = target;
    this.#position = target.position;
    this.#sequence = target.sequence;
  }

  async close(): Promise<void> {
    this.#target = undefined;
  }

  take(): LaneWrites | undefined {
    const writes = this.#writes;
    this.#writes = [];
    return writes.length === 0 ? undefined : { writes, torn: false };
  }

  applied(): void {}

  setDurable(sequence: number): void {
    this.durable = sequence;
  }

  get isOpen(): boolean {
    return this.#target !== undefined;
  }

  get lastSequence(): number {
    return this.#sequence - 1;
  }

  /** Acknowledges the write, or says that JavaScript must carry it out. */
  async write(before: Buffer, offset: number, bytes: Buffer): Promise<boolean> {
    const target = this.#target;
    if (target === undefined) return false;
    const head = { kind: KIND.write, sequence: this.#sequence++, offset, length: bytes.byteLength };
    const at = this.#position;
    this.#position += RECORD_HEADER_BYTES + bytes.byteLength;
    const run = {
      start: offset,
      end: offset + bytes.byteLength,
      fileOffset: at + RECORD_HEADER_BYTES,
      difference: (crc32(before) ^ crc32(bytes)) >>> 0,
    };
    await target.file.write(at, encodeRecord({ ...head, batch: 0, durable: 0 }, bytes));
    this.#writes.push({ nodeid: 2, bytes: bytes.byteLength, atMs: Date.now(), runs: [run] });
    return true;
  }
}

async function open(path: string) {
  const state = await StateDirectory.locate(diskMedium, path);
  const edits = await Edits.recover(diskMedium, path, state);
  const image = new Image(await FileSource.open(path));
  const field = await image.base.read(CONTENT_BYTES, 4);
  const range = {
    offset: 0,
    length: CONTENT_BYTES,
    crc32: field.readUInt32LE(),
    fields: [CONTENT_BYTES],
  };
  await edits.attach(image, {
    identity: [{ offset: CONTENT_BYTES, length: 4 }],
    checksums: new Checksums([range]),
    writable: new ByteRanges([range]),
  });
  const close = async () => {
    await edits.close();
    await image.close();
  };
  return { edits, image, close };
}

/** A file of zeros with a right checksum behind them, and edits whose first one has opened the lane. */
async function scene(t: TestContext) {
  const path = join(await temporaryDirectory(t), 'model.bin');
  const bytes = Buffer.alloc(SIZE);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CONTENT_BYTES)), CONTENT_BYTES);
  await writeFile(path, bytes);
  const opened = await open(path);
  t.after(opened.close);
  const lane = new PlayedLane();
  opened.image.lane = lane;
  await opened.image.update((update) => update.write(0, Buffer.from('first')));
  assert.ok(lane.isOpen);
  return { path, lane, ...opened };
}

const ZEROS = Buffer.alloc(6);
const NATIVE = Buffer.from('native');

test('edits that are being closed acknowledge no native write that a commit in their queue would overwrite', async (t) => {
  const { path, lane, edits, image } = await scene(t);
  const committing = edits.commit();
  const closing = edits.close();
  const acknowledged = await lane.write(ZEROS, 1000, NATIVE);
  // The last handle is closed meanwhile.
  image.catchUp();
  image.lane = undefined;
  await committing;
  await closing;
  const again = await open(path);
  t.after(again.close);
  const found = await again.image.read(1000, NATIVE.byteLength);
  assert.ok(found.equals(acknowledged ? NATIVE : ZEROS), `acknowledged: ${acknowledged}, found: ${found}`);
});

test('what was written natively before the edits are closed is taken up and kept', async (t) => {
  const { path, lane, edits } = await scene(t);
  assert.ok(await lane.write(ZEROS, 1000, NATIVE));
  const closing = edits.close();
  assert.equal(lane.isOpen, false);
  await closing;
  const again = await open(path);
  t.after(again.close);
  assert.ok((await again.image.read(1000, NATIVE.byteLength)).equals(NATIVE));
});

test('a flush makes durable what was written natively before it, and tells the lane', async (t) => {
  const { lane, edits } = await scene(t);
  assert.ok(await lane.write(ZEROS, 1000, NATIVE));
  const { lastSequence } = lane;
  await edits.flush();
  assert.equal(lane.durable, lastSequence);
  assert.equal(edits.status.journal.lastSequence, BigInt(lastSequence));
});

test('a commit, a discard and a status include what was written natively a moment before', async (t) => {
  const { path, lane, edits, image } = await scene(t);
  assert.ok(await lane.write(ZEROS, 1000, NATIVE));
  assert.equal(edits.status.dirtyBytes, 'first'.length + NATIVE.byteLength);
  assert.ok(await lane.write(ZEROS, 2000, NATIVE));
  await edits.commit();
  assert.equal(lane.isOpen, false);
  const committed = await readFile(path);
  assert.ok(committed.subarray(2000, 2006).equals(NATIVE));
  assert.equal(committed.readUInt32LE(CONTENT_BYTES), crc32(committed.subarray(0, CONTENT_BYTES)));
  await image.update((update) => update.write(10, Buffer.from('second')));
  assert.ok(await lane.write(ZEROS, 3000, NATIVE));
  await edits.discard();
  assert.equal(edits.dirty, false);
  assert.ok((await image.read(3000, NATIVE.byteLength)).equals(ZEROS));
});
