import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Entry, fromRandomAccessReaderPromise, type ZipFile } from 'yauzl';
import { MlfsError, messageOf } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { inSlices } from '../../storage/in-slices.ts';
import { BufferedReader } from './buffered-reader.ts';
import type { EndRecord } from './end-record.ts';
import { decodeName, nameProblem } from './entry-name.ts';
import { EntryTable } from './entry-table.ts';
import { LOCAL_HEADER_LENGTH } from './local-headers.ts';
import {
  addPlainRecords,
  DEFLATE_MAX_RATIO,
  DEFLATED,
  ENCRYPTED_FLAGS,
  RECORD_HEADER_LENGTH,
  STORED,
} from './plain-directory.ts';
import { refuse } from './refusal.ts';

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
const DISK_START_FIELD = 34;
/** Records parsed between two turns of the event loop: some 10 ms. */
const SLICE = 2048;

/** The records of a central directory, and their raw names for the comparison with the local headers. */
export interface CentralDirectory {
  readonly table: EntryTable;
  readonly bytes: Buffer;
}

/**
 * Reads the directory in one piece. Plain records are read at once; if there is another one, yauzl takes the directory apart and decides. `base` is
 * where the archive begins in the image. `addPlain` is for tests: without it yauzl reads every directory.
 */
export async function readCentralDirectory(
  source: ByteSource,
  end: EndRecord,
  base: number,
  addPlain = addPlainRecords,
): Promise<CentralDirectory> {
  const bytes = await source.read(end.centralOffset, end.archiveEnd - end.centralOffset);
  const zip = await openWithYauzl(new BufferedReader(source, end.centralOffset, bytes), end, source.path);
  const capacity = Math.min(end.entryCount, Math.floor(end.centralSize / RECORD_HEADER_LENGTH) + 1);
  const nameBytes = Math.max(0, end.centralSize - capacity * RECORD_HEADER_LENGTH);
  const table = new EntryTable(capacity, nameBytes, base);
  if (zip.entryCount === end.entryCount && (await inSlices(addPlain(bytes, end, table))))
    return { table, bytes };
  const another = new EntryTable(capacity, nameBytes, base);
  await addAllRecords(source, end, bytes, zip, another);
  return { table: another, bytes };
}

/** Adds the records as yauzl reads them. Refuses bad ones and duplicate names. */
async function addAllRecords(
  source: ByteSource,
  end: EndRecord,
  bytes: Buffer,
  zip: ZipFile,
  table: EntryTable,
): Promise<void> {
  const next = entryReader(zip);
  let at = 0;
  for (let index = 0; index < end.entryCount; index++) {
    if (index % SLICE === SLICE - 1) await nextTurn();
    const step = next();
    const result = step instanceof Promise ? await step : step;
    if (result instanceof Error) throw recordError(source.path, end, index, at, bytes, result);
    const { name, method } = checkRecord(source.path, result, end);
    if (bytes.readUInt16LE(at + DISK_START_FIELD) % 0xffff !== 0) {
      throw refuse('ERR_MLFS_ZIP', source.path, name, 'lies on another disk of a multi-disk archive');
    }
    const text = Buffer.from(name);
    if (!table.names.add(text, 0, text.length)) {
      throw refuse('ERR_MLFS_ZIP_DUPLICATE', source.path, name, 'the name occurs twice');
    }
    table.add(
      result.generalPurposeBitFlag,
      method === 'deflated',
      result.crc32,
      result.compressedSize,
      result.uncompressedSize,
      result.relativeOffsetOfLocalHeader,
      end.centralOffset + at,
    );
    at += RECORD_HEADER_LENGTH + result.fileNameLength + result.extraFieldLength + result.fileCommentLength;
    if (at > end.centralSize) break;
  }
  if (at !== end.centralSize) {
    throw refuse(
      'ERR_MLFS_ZIP',
      source.path,
      undefined,
      `wrong central directory size or number of entries: ${table.count} records take ${at} bytes, the end record says ${end.entryCount} in ${end.centralSize}`,
    );
  }
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

function checkRecord(
  path: string,
  entry: Entry,
  end: EndRecord,
): { readonly name: string; readonly method: 'stored' | 'deflated' } {
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
  const earliestEnd = localHeaderOffset + LOCAL_HEADER_LENGTH + entry.fileNameLength + compressedSize;
  if (earliestEnd > end.centralOffset) {
    throw refuse(
      'ERR_MLFS_ZIP',
      path,
      name,
      `its ${compressedSize} bytes of data, with their header at byte ${localHeaderOffset}, would end past the entries' end at byte ${end.centralOffset}`,
    );
  }
  return { name, method };
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
