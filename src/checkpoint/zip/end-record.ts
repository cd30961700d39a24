import { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { refuseArchivesInARow } from '../foreign.ts';
import { LIMITS } from './limits.ts';
import { refuse } from './refusal.ts';

/** Where the central directory is, as the end records say and as the file's layout confirms. */
export interface EndRecord {
  readonly entryCount: number;
  readonly centralOffset: number;
  readonly centralSize: number;
  /** First byte after the end-of-central-directory record and its comment: where the archive ends. */
  readonly archiveEnd: number;
  readonly warnings: MlfsError[];
}

const END_SIGNATURE = 0x06054b50;
const END_LENGTH = 22;
const LOCATOR_SIGNATURE = 0x07064b50;
const LOCATOR_LENGTH = 20;
const ZIP64_END_SIGNATURE = 0x06064b50;
const ZIP64_END_LENGTH = 56;
const LOCAL_SIGNATURE = 0x04034b50;
/** The comment's length is a u16, so the record starts no earlier than this from the end. */
const SEARCH_LENGTH = END_LENGTH + LOCATOR_LENGTH + ZIP64_END_LENGTH + 0xffff;

/**
 * Finds the end-of-central-directory record (APPNOTE 4.3.16) and its ZIP64 companions (4.3.14, 4.3.15), and checks that
 * the directory they describe ends exactly where they begin.
 */
export async function readEndRecord(source: ByteSource): Promise<EndRecord> {
  const tailOffset = Math.max(0, source.size - SEARCH_LENGTH);
  const tail = await source.read(tailOffset, source.size - tailOffset);
  const at = findEndRecord(tail);
  if (at === undefined) throw await noEndRecord(source);

  const fail = (reason: string) => refuse('ERR_MLFS_ZIP', source.path, undefined, reason);
  const endOffset = tailOffset + at;
  // offset 4: number of this disk; 6: disk where the central directory starts; 8: entries on this disk
  const disk = tail.readUInt16LE(at + 4);
  const centralDisk = tail.readUInt16LE(at + 6);
  const diskEntries = tail.readUInt16LE(at + 8);
  // offset 10: total entries; 12: size of the central directory; 16: its offset; 20: comment length
  const entries = tail.readUInt16LE(at + 10);
  const size = tail.readUInt32LE(at + 12);
  const offset = tail.readUInt32LE(at + 16);
  const commentLength = tail.readUInt16LE(at + 20);

  const archiveEnd = endOffset + END_LENGTH + commentLength;
  if (archiveEnd > source.size) {
    throw new MlfsError(
      'ERR_MLFS_TRUNCATED',
      `${source.path}: the archive comment at byte ${endOffset + END_LENGTH} has ${commentLength} bytes, but the file ends at ${source.size}`,
      { path: source.path },
    );
  }
  const warnings: MlfsError[] = [];
  if (archiveEnd < source.size) {
    const extra = source.size - archiveEnd;
    warnings.push(
      fail(
        `${extra} bytes after the end of the archive at byte ${archiveEnd} belong to no entry and are ignored`,
      ),
    );
  }

  const zip64 = await readZip64End(source, tail, tailOffset, endOffset);
  if (zip64 === undefined) {
    if (disk !== 0 || centralDisk !== 0 || diskEntries !== entries) {
      throw fail(`the archive spans several disks (this is disk ${disk}), which is not supported`);
    }
    return checked(source, { entries, size, offset, endsAt: endOffset }, archiveEnd, warnings);
  }
  // A reader that does not know ZIP64 must see the same directory, or none: each short field is the value or all ones.
  const pairs = [
    ['number of entries', entries, 0xffff, zip64.entries],
    ['size of the central directory', size, 0xffffffff, zip64.size],
    ['offset of the central directory', offset, 0xffffffff, zip64.offset],
  ] as const;
  for (const [field, short, saturated, long] of pairs) {
    if (short !== saturated && short !== long) {
      throw refuse(
        'ERR_MLFS_ZIP_MISMATCH',
        source.path,
        undefined,
        `the end records disagree on the ${field}: ${short}, but ${long} in the ZIP64 record`,
      );
    }
  }
  return checked(source, zip64, archiveEnd, warnings);
}

interface Directory {
  readonly entries: number;
  readonly size: number;
  readonly offset: number;
  /** The record that must follow the directory at once. */
  readonly endsAt: number;
}

async function checked(
  source: ByteSource,
  directory: Directory,
  archiveEnd: number,
  warnings: MlfsError[],
): Promise<EndRecord> {
  const { entries, size, offset, endsAt } = directory;
  const fail = (reason: string) => refuse('ERR_MLFS_ZIP', source.path, undefined, reason);
  if (offset > endsAt || size > endsAt) {
    throw fail(
      `the central directory (${size} bytes at byte ${offset}) lies past its end record at byte ${endsAt}; the file is truncated or damaged`,
    );
  }
  if (offset + size !== endsAt) {
    const inARow = await archivesInARow(source, endsAt - (offset + size));
    if (inARow !== undefined) throw inARow;
    throw fail(
      `wrong central directory offset or size: ${size} bytes at byte ${offset} end at ${offset + size}, but the end record is at byte ${endsAt}`,
    );
  }
  if (entries > LIMITS.entries) {
    throw refuse(
      'ERR_MLFS_LIMIT',
      source.path,
      undefined,
      `the archive declares ${entries} entries; the limit is ${LIMITS.entries}`,
    );
  }
  if (size > LIMITS.centralDirectoryBytes) {
    throw refuse(
      'ERR_MLFS_LIMIT',
      source.path,
      undefined,
      `the central directory has ${size} bytes; the limit is ${LIMITS.centralDirectoryBytes}`,
    );
  }
  return { entryCount: entries, centralOffset: offset, centralSize: size, archiveEnd, warnings };
}

/** The last signature in the file, as zip readers (yauzl and miniz among them) look for it. */
function findEndRecord(tail: Buffer): number | undefined {
  for (let at = tail.length - END_LENGTH; at >= 0; at--) {
    if (tail[at] === 0x50 && tail.readUInt32LE(at) === END_SIGNATURE) return at;
  }
  return undefined;
}

async function readZip64End(
  source: ByteSource,
  tail: Buffer,
  tailOffset: number,
  endOffset: number,
): Promise<Directory | undefined> {
  const fail = (reason: string) => refuse('ERR_MLFS_ZIP', source.path, undefined, reason);
  const locatorOffset = endOffset - LOCATOR_LENGTH;
  if (locatorOffset < tailOffset) return undefined;
  const locator = tail.subarray(locatorOffset - tailOffset, endOffset - tailOffset);
  if (locator.readUInt32LE(0) !== LOCATOR_SIGNATURE) return undefined;
  // offset 4: disk of the ZIP64 end record; 8: its offset; 16: number of disks (0 or 1 where there is one)
  const recordOffset = locator.readBigUInt64LE(8);
  const disks = locator.readUInt32LE(16);
  if (locator.readUInt32LE(4) !== 0 || disks > 1) {
    throw fail(`the archive spans several disks (${disks}), which is not supported`);
  }
  if (recordOffset + BigInt(ZIP64_END_LENGTH) > BigInt(locatorOffset)) {
    throw fail(
      `the ZIP64 end record would be at byte ${recordOffset}, past its locator at byte ${locatorOffset}; the file is truncated or damaged`,
    );
  }
  const at = Number(recordOffset);
  const inARow = await archivesInARow(source, locatorOffset - ZIP64_END_LENGTH - at);
  if (inARow !== undefined) throw inARow;
  const record = await source.read(at, ZIP64_END_LENGTH);
  if (record.readUInt32LE(0) !== ZIP64_END_SIGNATURE) {
    throw fail(`byte ${at} does not hold the ZIP64 end record that the locator points to`);
  }
  // offset 4: size of the rest of the record; 16: number of this disk; 20: disk of the central directory
  const recordSize = record.readBigUInt64LE(4) + 12n;
  if (recordOffset + recordSize !== BigInt(locatorOffset)) {
    throw fail(
      `the ZIP64 end record at byte ${at} has ${recordSize} bytes and does not end at its locator at byte ${locatorOffset}`,
    );
  }
  // offset 24: entries on this disk; 32: total entries; 40: size of the central directory; 48: its offset
  const diskEntries = record.readBigUInt64LE(24);
  const entries = record.readBigUInt64LE(32);
  if (record.readUInt32LE(16) !== 0 || record.readUInt32LE(20) !== 0 || diskEntries !== entries) {
    throw fail('the archive spans several disks, which is not supported');
  }
  const size = record.readBigUInt64LE(40);
  const offset = record.readBigUInt64LE(48);
  if (size > BigInt(at) || offset > BigInt(at)) {
    throw fail(
      `the central directory (${size} bytes at byte ${offset}) lies past its end record at byte ${at}; the file is truncated or damaged`,
    );
  }
  return {
    entries: entries > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(entries),
    size: Number(size),
    offset: Number(offset),
    endsAt: at,
  };
}

/** Offsets that are all too small by `shift` are those of an archive that begins there, behind another one. */
async function archivesInARow(source: ByteSource, shift: number): Promise<MlfsError | undefined> {
  if (shift <= 0 || shift + 4 > source.size) return undefined;
  for (const at of [0, shift]) {
    if ((await source.read(at, 4)).readUInt32LE(0) !== LOCAL_SIGNATURE) return undefined;
  }
  return refuseArchivesInARow(source.path, shift);
}

async function noEndRecord(source: ByteSource): Promise<MlfsError> {
  const head = await source.read(0, Math.min(4, source.size));
  if (head.length === 4 && head.readUInt32LE(0) === LOCAL_SIGNATURE) {
    return new MlfsError(
      'ERR_MLFS_TRUNCATED',
      `${source.path}: starts as a zip archive and has no end-of-central-directory record: the file is truncated (${source.size} bytes are there)`,
      { path: source.path, advice: 'Copy or download the file again and compare its size.' },
    );
  }
  return refuse(
    'ERR_MLFS_ZIP',
    source.path,
    undefined,
    'has no end-of-central-directory record, so it is not a zip archive',
  );
}
