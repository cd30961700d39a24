import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Entry, fromRandomAccessReaderPromise, type ZipFile } from 'yauzl';
import { MlfsError, messageOf } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { BufferedReader } from './buffered-reader.ts';
import type { EndRecord } from './end-record.ts';
import { decodeName, nameProblem } from './entry-name.ts';
import { refuse } from './refusal.ts';

/** A record of the central directory (APPNOTE 4.3.12) that has passed every check it allows by itself. */
export interface CentralRecord {
  readonly name: string;
  readonly rawName: Buffer;
  readonly flags: number;
  readonly method: 'stored' | 'deflated';
  readonly crc32: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly localHeaderOffset: number;
  readonly centralOffset: number;
}

/** Bits 0, 6 and 13 of the general purpose flags: traditional, strong and central directory encryption. */
const ENCRYPTED_FLAGS = 0x2041;
const STORED = 0;
const DEFLATED = 8;
const METHOD_NAMES: Readonly<Record<number, string>> = {
  1: 'Shrink',
  6: 'Implode',
  9: 'Deflate64',
  12: 'bzip2',
  14: 'LZMA',
  93: 'Zstandard',
  95: 'XZ',
  98: 'PPMd',
};
/** Method of WinZip's AES encryption. */
const AES_METHOD = 99;
/** Deflate's best: 258 bytes from a code of 2 bits. */
const DEFLATE_MAX_RATIO = 1032;
const RECORD_HEADER_LENGTH = 46;
const DISK_START_FIELD = 34;
/** Records parsed between two turns of the event loop: some 10 ms. */
const SLICE = 2048;

/** Reads the directory in one piece and lets yauzl take it apart; duplicate names are refused here. */
export async function readCentralDirectory(source: ByteSource, end: EndRecord): Promise<CentralRecord[]> {
  const bytes = await source.read(end.centralOffset, end.archiveEnd - end.centralOffset);
  const reader = new BufferedReader(source, end.centralOffset, bytes);
  const zip = await openWithYauzl(reader, end, source.path);
  const next = entryReader(zip);
  const records: CentralRecord[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let index = 0; index < end.entryCount; index++) {
    if (index % SLICE === SLICE - 1) await nextTurn();
    const step = next();
    const result = step instanceof Promise ? await step : step;
    if (result instanceof Error) throw recordError(source.path, end, index, at, bytes, result);
    const record = checkRecord(source.path, result, end.centralOffset + at, end);
    if (bytes.readUInt16LE(at + DISK_START_FIELD) % 0xffff !== 0) {
      throw refuse('ERR_MLFS_ZIP', source.path, record.name, 'lies on another disk of a multi-disk archive');
    }
    if (names.has(record.name)) {
      throw refuse('ERR_MLFS_ZIP_DUPLICATE', source.path, record.name, 'the name occurs twice');
    }
    names.add(record.name);
    records.push(record);
    at += RECORD_HEADER_LENGTH + result.fileNameLength + result.extraFieldLength + result.fileCommentLength;
    if (at > end.centralSize) break;
  }
  if (at !== end.centralSize) {
    throw refuse(
      'ERR_MLFS_ZIP',
      source.path,
      undefined,
      `wrong central directory size or number of entries: ${records.length} records take ${at} bytes, the end record says ${end.entryCount} in ${end.centralSize}`,
    );
  }
  return records;
}

async function openWithYauzl(reader: BufferedReader, end: EndRecord, path: string): Promise<ZipFile> {
  try {
    return await fromRandomAccessReaderPromise(reader, end.archiveEnd, {
      lazyEntries: true,
      autoClose: false,
      decodeStrings: false,
      validateEntrySizes: false,
    });
  } catch (cause) {
    if (cause instanceof MlfsError) throw cause;
    throw refuse('ERR_MLFS_ZIP', path, undefined, messageOf(cause));
  }
}

/** The next record, at once when it was in memory: promises for each of many thousand records would cost more than parsing. */
function entryReader(zip: ZipFile): () => Entry | Error | Promise<Entry | Error> {
  let arrived: Entry | Error | undefined;
  let wake: ((result: Entry | Error) => void) | undefined;
  const settle = (result: Entry | Error) => {
    if (wake === undefined) arrived = result;
    else wake(result);
    wake = undefined;
  };
  zip.on('entry', settle);
  zip.on('error', settle);
  return () => {
    arrived = undefined;
    zip.readEntry();
    return (
      arrived ??
      new Promise((resolve) => {
        wake = resolve;
      })
    );
  };
}

function recordError(
  path: string,
  end: EndRecord,
  index: number,
  at: number,
  bytes: Buffer,
  cause: Error,
): MlfsError {
  if (cause instanceof MlfsError) return cause;
  // yauzl names no entry in its errors; flags are at offset 8, the name's length at 28, the name at 46.
  const whole = at + RECORD_HEADER_LENGTH <= end.centralSize;
  if (whole && /encryption/.test(cause.message)) {
    const name = bytes.subarray(
      at + RECORD_HEADER_LENGTH,
      at + RECORD_HEADER_LENGTH + bytes.readUInt16LE(at + 28),
    );
    return refuse('ERR_MLFS_ZIP_ENCRYPTED', path, name.toString('latin1'), 'is encrypted');
  }
  return refuse(
    'ERR_MLFS_ZIP',
    path,
    undefined,
    `record ${index} of the central directory, at byte ${end.centralOffset + at}: ${cause.message}`,
  );
}

function checkRecord(path: string, entry: Entry, centralOffset: number, end: EndRecord): CentralRecord {
  const flags = entry.generalPurposeBitFlag;
  const decoded = decodeName(entry.fileNameRaw, flags);
  const name = 'name' in decoded ? decoded.name : entry.fileNameRaw.toString('latin1');
  const problem = 'name' in decoded ? nameProblem(name) : decoded.reason;
  if (problem !== undefined) throw refuse('ERR_MLFS_ZIP_NAME', path, name, problem);
  if ((flags & ENCRYPTED_FLAGS) !== 0 || entry.compressionMethod === AES_METHOD) {
    throw refuse('ERR_MLFS_ZIP_ENCRYPTED', path, name, 'is encrypted');
  }
  const method = methodOf(path, name, entry.compressionMethod);
  const compressedSize = entry.compressedSize;
  const size = entry.uncompressedSize;
  const localHeaderOffset = entry.relativeOffsetOfLocalHeader;
  if (method === 'stored' && compressedSize !== size) {
    throw refuse(
      'ERR_MLFS_ZIP_MISMATCH',
      path,
      name,
      `is stored, yet takes ${compressedSize} bytes for ${size}`,
    );
  }
  if (method === 'deflated' && size > compressedSize * DEFLATE_MAX_RATIO) {
    throw refuse(
      'ERR_MLFS_ZIP',
      path,
      name,
      `cannot inflate from ${compressedSize} bytes to the ${size} it declares`,
    );
  }
  // The local header has 30 bytes before its name.
  const earliestEnd = localHeaderOffset + 30 + entry.fileNameLength + compressedSize;
  if (earliestEnd > end.centralOffset) {
    throw refuse(
      'ERR_MLFS_ZIP',
      path,
      name,
      `its ${compressedSize} bytes of data, with their header at byte ${localHeaderOffset}, would end past the entries' end at byte ${end.centralOffset}`,
    );
  }
  return {
    name,
    rawName: entry.fileNameRaw,
    flags,
    method,
    crc32: entry.crc32,
    compressedSize,
    size,
    localHeaderOffset,
    centralOffset,
  };
}

function methodOf(path: string, name: string, method: number): 'stored' | 'deflated' {
  if (method === STORED) return 'stored';
  if (method === DEFLATED) return 'deflated';
  const label = METHOD_NAMES[method];
  throw refuse(
    'ERR_MLFS_ZIP_METHOD',
    path,
    name,
    `is compressed with method ${method}${label === undefined ? '' : ` (${label})`}; only stored and deflated entries can be read`,
  );
}
