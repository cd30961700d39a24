/**
 * Reads the records of a central directory as long as they are plain: what torch, zip programs and MLFS write. It refuses nothing. A record with
 * anything odd about it makes `addPlainRecords` return false, and yauzl reads the directory (central-directory.ts): which records are good, and what
 * is said about the others, is decided there, and what is taken here is taken there with the same values.
 */
import { isUtf8 } from 'node:buffer';
import { NAME_LENGTH } from '../name-length.ts';
import type { EndRecord } from './end-record.ts';
import type { EntryTable } from './entry-table.ts';
import { uint16, uint32, uint64 } from './fields.ts';
import { LOCAL_HEADER_LENGTH } from './local-headers.ts';

/** Bits 0, 6 and 13 of the general purpose flags: traditional, strong and central directory encryption. */
export const ENCRYPTED_FLAGS = 0x2041;
export const STORED = 0;
export const DEFLATED = 8;
/** Deflate's best: 258 bytes from a code of 2 bits. */
export const DEFLATE_MAX_RATIO = 1032;
export const RECORD_HEADER_LENGTH = 46;

const RECORD_SIGNATURE = 0x02014b50;
const ZIP64_EXTRA = 0x0001;
const SATURATED = 0xffffffff;
/** Records between two yields: about a millisecond. */
const SLICE = 2048;

const BACKSLASH = 0x5c;
const COLON = 0x3a;
const DOT = 0x2e;
const SLASH = 0x2f;

/** A record's numbers, with those of its ZIP64 field. One object serves all records. */
interface Sizes {
  compressedSize: number;
  size: number;
  localHeaderOffset: number;
}

/** Adds all records, which fill the directory. Returns false if one of them is not plain. Yields between its parts. */
export function* addPlainRecords(
  directory: Buffer,
  end: EndRecord,
  table: EntryTable,
): Generator<void, boolean> {
  const sizes: Sizes = { compressedSize: 0, size: 0, localHeaderOffset: 0 };
  let at = 0;
  for (let index = 0; index < end.entryCount; index++) {
    const next = addRecord(directory, at, end, sizes, table);
    if (next === 0) return false;
    at = next;
    if (index % SLICE === SLICE - 1) yield;
  }
  return at === end.centralSize;
}

/** Adds the record at `at`, and returns where it ends; 0 if it is not plain. */
function addRecord(directory: Buffer, at: number, end: EndRecord, sizes: Sizes, table: EntryTable): number {
  if (at + RECORD_HEADER_LENGTH > end.centralSize) return 0;
  // offset 0: signature; 8: flags; 10: method; 16: CRC-32; 20: compressed size; 24: size
  // 28: name length; 30: extra length; 32: comment length; 34: disk; 42: offset of the local header; 46: name
  const flags = uint16(directory, at + 8);
  const method = uint16(directory, at + 10);
  const nameLength = uint16(directory, at + 28);
  const extraLength = uint16(directory, at + 30);
  const nameStart = at + RECORD_HEADER_LENGTH;
  const extraStart = nameStart + nameLength;
  const extraEnd = extraStart + extraLength;
  const recordEnd = extraEnd + uint16(directory, at + 32);
  sizes.compressedSize = uint32(directory, at + 20);
  sizes.size = uint32(directory, at + 24);
  sizes.localHeaderOffset = uint32(directory, at + 42);
  const plain =
    uint32(directory, at) === RECORD_SIGNATURE &&
    recordEnd <= end.centralSize &&
    (flags & ENCRYPTED_FLAGS) === 0 &&
    (method === STORED || method === DEFLATED) &&
    uint16(directory, at + 34) % 0xffff === 0 &&
    isPlainName(directory, nameStart, extraStart) &&
    readExtra(directory, extraStart, extraEnd, sizes);
  if (!plain) return 0;
  const { compressedSize, size, localHeaderOffset } = sizes;
  const possible =
    (method === STORED ? size === compressedSize : size <= compressedSize * DEFLATE_MAX_RATIO) &&
    localHeaderOffset + LOCAL_HEADER_LENGTH + nameLength + compressedSize <= end.centralOffset;
  if (!possible || !table.names.add(directory, nameStart, extraStart)) return 0;
  table.add(
    flags,
    method === DEFLATED,
    uint32(directory, at + 16),
    compressedSize,
    size,
    localHeaderOffset,
    end.centralOffset + at,
  );
  return recordEnd;
}

/** A relative path in printable ASCII, or in UTF-8, without a backslash or "..". */
function isPlainName(bytes: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (length === 0 || length > NAME_LENGTH || bytes[start] === SLASH) return false;
  let isAscii = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte === BACKSLASH || byte === 0x7f) return false;
    if (byte === COLON && at === start + 1) return false;
    if (byte === DOT && at > start && bytes[at - 1] === DOT) return false;
    if (byte >= 0x80) isAscii = false;
  }
  return isAscii || isUtf8(bytes.subarray(start, end));
}

/** Reads the fields of a record that are only in its ZIP64 extra field (APPNOTE 4.5.3). Returns false if the extra fields are not whole. */
function readExtra(bytes: Buffer, start: number, end: number, sizes: Sizes): boolean {
  let isRead = false;
  let at = start;
  while (at + 4 <= end) {
    const fieldEnd = at + 4 + uint16(bytes, at + 2);
    if (fieldEnd > end) return false;
    if (uint16(bytes, at) === ZIP64_EXTRA && !isRead) {
      if (!readZip64(bytes, at + 4, fieldEnd, sizes)) return false;
      isRead = true;
    }
    at = fieldEnd;
  }
  if (at !== end) return false;
  return isRead || !isSaturated(sizes);
}

function isSaturated({ compressedSize, size, localHeaderOffset }: Sizes): boolean {
  return compressedSize === SATURATED || size === SATURATED || localHeaderOffset === SATURATED;
}

/** Size, compressed size and offset of the local header, each only where the short field is saturated. */
function readZip64(bytes: Buffer, start: number, end: number, sizes: Sizes): boolean {
  const wanted =
    Number(sizes.size === SATURATED) +
    Number(sizes.compressedSize === SATURATED) +
    Number(sizes.localHeaderOffset === SATURATED);
  if (start + 8 * wanted > end) return false;
  let at = start;
  if (sizes.size === SATURATED) {
    sizes.size = uint64(bytes, at);
    at += 8;
  }
  if (sizes.compressedSize === SATURATED) {
    sizes.compressedSize = uint64(bytes, at);
    at += 8;
  }
  if (sizes.localHeaderOffset === SATURATED) sizes.localHeaderOffset = uint64(bytes, at);
  return (
    Number.isSafeInteger(sizes.size) &&
    Number.isSafeInteger(sizes.compressedSize) &&
    Number.isSafeInteger(sizes.localHeaderOffset)
  );
}
