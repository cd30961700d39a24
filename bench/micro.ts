/**
 * npm run bench:micro: the parts of opening a checkpoint and of walking a mount, one at a time, in this process. Prints operations per
 * second, with the relative margin of error that Benchmark.js computes.
 */
import { randomBytes } from 'node:crypto';
import Benchmark from 'benchmark';
import { openCheckpoint } from '../src/checkpoint/open.ts';
import { readPickle } from '../src/checkpoint/pickle/unpickle.ts';
import { readArchive } from '../src/checkpoint/zip/archive.ts';
import { readEntry } from '../src/checkpoint/zip/read-entry.ts';
import type { Attr, DirectoryEntry } from '../src/fuse/filesystem.ts';
import { encodeAttr } from '../src/fuse/protocol/attr.ts';
import { encodeReaddirplus } from '../src/fuse/protocol/dirent.ts';
import { OPCODES } from '../src/fuse/protocol/opcodes.ts';
import { Request } from '../src/fuse/protocol/request.ts';
import { Checksums } from '../src/storage/checksums.ts';
import { crc32, crc32Combine } from '../src/storage/crc32.ts';
import { crc32c, crc32cByTables } from '../src/storage/crc32c.ts';
import { differingRuns } from '../src/storage/differing-runs.ts';
import type { Extent } from '../src/storage/extent.ts';
import { FileSource } from '../src/storage/file-source.ts';
import { Image } from '../src/storage/image.ts';
import { encodeRecord, KIND } from '../src/storage/journal/record.ts';
import type { MediumFile } from '../src/storage/medium.ts';
import { CHUNK_BYTES, Overlay } from '../src/storage/overlay.ts';
import { readExtents } from '../src/storage/read-extents.ts';
import { Subjects } from './subject.ts';

const PICKLE_LIMIT_BYTES = 64 << 20;
const MIB = 1 << 20;
const BLOCK_BYTES = 4096;
const FLOAT_BYTES = 4;
/** Fewer equal bytes than this are journalled with their neighbours. */
const GAP_BYTES = 40;
/** An overlay only stores it. */
const NO_FILE = { path: 'journal/000001.log' } as MediumFile;
const LONG_TIMEOUT_MS = 86_400_000;
const failures: Error[] = [];

const subjects = await Subjects.in(undefined, MIB);
try {
  await measure(await subjects.get('many').then((subject) => subject.path));
} finally {
  await subjects.remove();
}

async function measure(checkpoint: string): Promise<void> {
  const image = new Image(await FileSource.open(checkpoint));
  const suite = new Benchmark.Suite();
  await addOpening(suite, image, checkpoint);
  addServing(suite);
  addWriting(suite);
  addChecksums(suite);
  await new Promise<void>((resolve, reject) => {
    suite
      .on('cycle', (event: Benchmark.Event) => process.stdout.write(`${String(event.target)}\n`))
      .on('error', (event: Benchmark.Event) => reject((event.target as { error?: Error }).error))
      .on('complete', () => resolve())
      .run({ async: true });
  });
  await image.close();
  const [failure] = failures;
  if (failure) throw failure;
}

async function addOpening(suite: Benchmark.Suite, image: Image, checkpoint: string): Promise<void> {
  const { entries } = await readArchive(image);
  const entry = entries.find((candidate) => candidate.name.endsWith('/data.pkl'));
  if (!entry) throw new Error(`${checkpoint}: has no data.pkl`);
  const pickle = await readEntry(image, entry, PICKLE_LIMIT_BYTES);
  suite.add('pickle machine, 20,000 tensors', () => {
    readPickle(pickle, { path: checkpoint });
  });
  addDeferred(suite, 'central directory, 20,000 entries', () => readArchive(image));
  addDeferred(suite, 'open, 20,000 tensors', async () => (await openCheckpoint(checkpoint)).close());
}

function addServing(suite: Benchmark.Suite): void {
  const extents: Extent[] = Array.from({ length: 20_000 }, () => ({
    kind: 'inline',
    bytes: Buffer.alloc(64),
  }));
  let at = 0;
  addDeferred(suite, 'extent lookup among 20,000, 128 bytes', () => {
    at = (at + 791_521) % (extents.length * 64 - 128);
    return readExtents(extents, at, 128);
  });
  const request = new Request(requestMessage(OPCODES.GETATTR));
  suite.add('reply to GETATTR', () => {
    encodeAttr(request, { attr: attrOf(2), attrTimeoutMs: 1000 });
  });
  const listing = Array.from({ length: 100 }, (_, index) => directoryEntry(index));
  suite.add('reply to READDIRPLUS, 100 entries', () => {
    encodeReaddirplus(request, listing, 64 << 10, () => {});
  });
}

/** The parts of a WRITE, except the pread of the bytes that it replaces and the pwrite of its record. */
function addWriting(suite: Benchmark.Suite): void {
  const before = randomBytes(MIB);
  const after = Buffer.from(before);
  suite.add('compare 1 MiB, equal', () => {
    differingRuns(before, after, GAP_BYTES);
  });
  const others = randomBytes(MIB);
  suite.add('compare 1 MiB, other noise', () => {
    differingRuns(before, others, GAP_BYTES);
  });
  for (let at = 0; at < MIB; at += FLOAT_BYTES) after[at] = (after[at] ?? 0) ^ 1;
  suite.add('compare 1 MiB, low bits of every float', () => {
    differingRuns(before, after, GAP_BYTES);
  });
  const header = {
    kind: KIND.write,
    sequence: 7,
    offset: 2 ** 40,
    length: BLOCK_BYTES,
    batch: 0,
    durable: 0,
  };
  const payload = others.subarray(0, BLOCK_BYTES);
  suite.add('record of 4 KiB', () => {
    encodeRecord(header, payload);
  });
  const checksums = new Checksums([{ offset: 0, length: 2 ** 40, crc32: 0, fields: [2 ** 40] }]);
  const [old, now] = [before.subarray(0, BLOCK_BYTES), payload];
  let place = 0;
  suite.add('checksum of 1 TiB follows 4 KiB', () => {
    place = (place + 7919 * BLOCK_BYTES) % 2 ** 40;
    checksums.change(new Map(), place, old, now);
  });
  const overlay = new Overlay();
  let block = 0;
  suite.add('overlay takes 4 KiB at random, of 1 GiB', () => {
    block = (block + 104_729) % (1024 * (CHUNK_BYTES / BLOCK_BYTES));
    const placement = { file: NO_FILE, fileOffset: block * 2 * BLOCK_BYTES, segment: 1 };
    overlay.set(block * BLOCK_BYTES, BLOCK_BYTES, placement, new Set());
  });
}

function addChecksums(suite: Benchmark.Suite): void {
  const bytes = Buffer.alloc(MIB, 7);
  suite.add('CRC-32 of 1 MiB', () => {
    crc32(bytes);
  });
  suite.add('CRC-32C of 1 MiB', () => {
    crc32c(bytes);
  });
  suite.add('CRC-32C of 1 MiB, without the addon', () => {
    crc32cByTables(bytes);
  });
  suite.add('CRC-32 of two runs combined, 1 TiB', () => {
    crc32Combine(0x12345678, 0x9abcdef0, 2 ** 40);
  });
}

/** Benchmark.js has no failure for deferred benchmarks: the first one is kept, and thrown at the end of the suite. */
function addDeferred(suite: Benchmark.Suite, name: string, work: () => Promise<unknown>): void {
  suite.add(name, {
    defer: true,
    fn: (deferred: Benchmark.Deferred) => {
      void work().then(
        () => deferred.resolve(),
        (cause: unknown) => {
          failures.push(new Error(name, { cause }));
          deferred.resolve();
        },
      );
    },
  });
}

function requestMessage(opcode: number): Buffer {
  const message = Buffer.alloc(56);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt32LE(opcode, 4);
  message.writeBigUInt64LE(7n, 8);
  message.writeBigUInt64LE(2n, 16);
  return message;
}

function attrOf(nodeid: number): Attr {
  return { nodeid, kind: 'file', mode: 0o444, nlink: 1, uid: 0, gid: 0, size: 4096, mtimeMs: 1.7e12 };
}

function directoryEntry(index: number): DirectoryEntry {
  const entry = { attr: attrOf(index + 2), entryTimeoutMs: LONG_TIMEOUT_MS, attrTimeoutMs: LONG_TIMEOUT_MS };
  return { name: `weight_${index}.bin`, offset: index + 1, entry };
}
