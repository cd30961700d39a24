import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { inParallel } from '../../storage/in-parallel.ts';
import { quoteName } from '../../visible-text.ts';
import type { EntryTable } from './entry-table.ts';
import { uint16, uint32 } from './fields.ts';
import { refuse } from './refusal.ts';

/** The central directory and where it begins, for the raw names. */
export interface DirectoryBytes {
  readonly bytes: Buffer;
  readonly offset: number;
}

const LOCAL_SIGNATURE = 0x04034b50;
/** Of a local header without its name and its extra field. */
export const LOCAL_HEADER_LENGTH = 30;
/** Of a record of the central directory before its name. */
const CENTRAL_NAME = 46;
const ZIP64_EXTRA = 0x0001;
/** A size that is in the ZIP64 extra field. */
const SATURATED = 0xffffffff;
/** Offset of the CRC-32 in a local header. */
export const LOCAL_CRC = 14;
/** Sizes and CRC follow the data (APPNOTE 4.4.4, bit 3). */
export const DESCRIPTOR_FLAG = 0x8;
/** The flags both headers must agree on: encrypted, descriptor, strong encryption, UTF-8, masked headers. */
const COMPARED_FLAGS = 0x2849;
/** Reading this many unneeded bytes costs no more than another read. */
const MERGE_GAP_BYTES = 16 * 1024;
const MERGED_READ_BYTES = 1024 * 1024;
const READS_AT_ONCE = 64;
/** A pread from the page cache takes 2 µs, from the fastest disk some 80. */
const SLOW_READ_MS = 0.05;
const CACHED_BYTES_PER_MS = 1_000_000;
/** A busy machine delays a read now and then; this many slow reads, at this rate, mean that a disk is read. */
const SLOW_READS = 8;
const TURN_MS = 10;

/**
 * Resolves every entry through its local header (APPNOTE 4.3.7) and refuses where the two disagree. `order` is the order of the file: headers
 * that lie close together share one read, so small archives take a handful of reads, and 20,000 headers all over a 1 TiB file take 20,000 reads of
 * some 60 bytes.
 *
 * No header can be left out. Only it says where the data starts, because writers pad with its extra field. A name or size that it has otherwise would
 * give another program other bytes than MLFS. And an edit writes the new CRC-32 into it.
 */
export async function readLocalHeaders(
  source: ByteSource,
  table: EntryTable,
  order: Uint32Array,
  directory: DirectoryBytes,
  warnings: MlfsError[],
): Promise<void> {
  const headers = new LocalHeaders(source, table, directory, warnings);
  await readRuns(source, runsOf(table, order, directory), (run, bytes) => {
    const later: number[] = [];
    for (let place = run.first; place < run.end; place++) {
      const index = order[place] as number;
      const at = (table.localHeaderOffset[index] as number) - run.offset;
      if (!headers.resolve(index, bytes, at)) later.push(index);
    }
    return later.length === 0 ? undefined : inParallel(later, 1, (index) => headers.resolveZip64(index));
  });
}

/** Headers, by their places in the order of the file, that share one read. */
interface Run {
  readonly first: number;
  readonly end: number;
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads one by one as long as the headers are in the page cache; once reads turn out to wait for a disk, the rest is read concurrently.
 */
async function readRuns(
  source: ByteSource,
  runs: Iterator<Run, undefined>,
  take: (run: Run, bytes: Buffer) => Promise<void> | undefined,
): Promise<void> {
  let count = 0;
  let slow = 0;
  let turn = performance.now();
  while (source.readNow !== undefined && (slow < SLOW_READS || slow * SLOW_READS <= count)) {
    const { value: run, done } = runs.next();
    if (done === true) return;
    count++;
    const start = performance.now();
    const bytes = source.readNow(run.offset, run.length);
    const now = performance.now();
    await take(run, bytes);
    if (now - start > SLOW_READ_MS + run.length / CACHED_BYTES_PER_MS) slow++;
    if (now - turn < TURN_MS) continue;
    await nextTurn();
    turn = performance.now();
  }
  const rest: Run[] = [];
  for (let next = runs.next(); next.done !== true; next = runs.next()) rest.push(next.value);
  await inParallel(rest, READS_AT_ONCE, async (run) => {
    await take(run, await source.read(run.offset, run.length));
  });
}

function* runsOf(
  table: EntryTable,
  order: Uint32Array,
  directory: DirectoryBytes,
): Generator<Run, undefined> {
  for (let first = 0; first < order.length; ) {
    const offset = table.localHeaderOffset[order[first] as number] as number;
    let length = headerLength(table, order[first] as number, directory);
    let end = first + 1;
    for (; end < order.length; end++) {
      const index = order[end] as number;
      const headerOffset = (table.localHeaderOffset[index] as number) - offset;
      const headerEnd = headerOffset + headerLength(table, index, directory);
      if (headerOffset - length > MERGE_GAP_BYTES || headerEnd > MERGED_READ_BYTES) break;
      length = Math.max(length, headerEnd);
    }
    yield { first, end, offset, length };
    first = end;
  }
  return undefined;
}

/** Of the header with its name, which must be as long as the central directory says. */
function headerLength(table: EntryTable, index: number, { bytes, offset }: DirectoryBytes): number {
  const record = (table.centralOffset[index] as number) - offset;
  return LOCAL_HEADER_LENGTH + uint16(bytes, record + 28);
}

/** Compares local headers with what the central directory says. */
class LocalHeaders {
  readonly #source: ByteSource;
  readonly #table: EntryTable;
  readonly #directory: DirectoryBytes;
  readonly #warnings: MlfsError[];

  constructor(source: ByteSource, table: EntryTable, directory: DirectoryBytes, warnings: MlfsError[]) {
    this.#source = source;
    this.#table = table;
    this.#directory = directory;
    this.#warnings = warnings;
  }

  /** Takes where the data starts from the header at `at` in `bytes`. Returns false if its sizes are in its extra field, which is not read yet. */
  resolve(index: number, bytes: Buffer, at: number): boolean {
    const table = this.#table;
    // offset 0: signature
    const signature = uint32(bytes, at);
    if (signature !== LOCAL_SIGNATURE) {
      const found = `0x${signature.toString(16).padStart(8, '0')}`;
      throw this.#refuse(
        index,
        `there is no local header at byte ${table.localHeaderOffset[index]} (${found})`,
      );
    }
    // offset 6: flags; 8: method; 14: CRC-32; 18: compressed size; 22: size; 26: name length; 28: extra length; 30: name
    const flags = uint16(bytes, at + 6);
    const centralFlags = table.flags[index] as number;
    if ((flags & COMPARED_FLAGS) !== (centralFlags & COMPARED_FLAGS)) {
      throw this.#disagree(index, 'flags', `0x${flags.toString(16)}`, `0x${centralFlags.toString(16)}`);
    }
    const method = uint16(bytes, at + 8);
    const deflated = table.deflated[index] === 1;
    if (method !== (deflated ? 8 : 0)) {
      throw this.#disagree(index, 'method', method, deflated ? 'deflated' : 'stored');
    }
    const nameLength = uint16(bytes, at + 26);
    this.#compareName(index, bytes, at + LOCAL_HEADER_LENGTH, nameLength);
    table.dataOffset[index] =
      (table.localHeaderOffset[index] as number) + LOCAL_HEADER_LENGTH + nameLength + uint16(bytes, at + 28);

    const deferred = (flags & DESCRIPTOR_FLAG) !== 0;
    this.#compareCrc(index, uint32(bytes, at + LOCAL_CRC), deferred);
    const compressedSize = uint32(bytes, at + 18);
    const size = uint32(bytes, at + 22);
    if (size !== SATURATED && compressedSize !== SATURATED) {
      this.#compareSizes(index, size, compressedSize, deferred);
      return true;
    }
    // With bit 3 the extra may hold anything, mostly zeros: the sizes are in the descriptor.
    return deferred;
  }

  /** Compares the sizes of a header whose sizes are, or may be, in its extra field. */
  async resolveZip64(index: number): Promise<void> {
    const headerOffset = this.#table.localHeaderOffset[index] as number;
    const header = await this.#source.read(headerOffset, LOCAL_HEADER_LENGTH);
    const extraOffset = headerOffset + LOCAL_HEADER_LENGTH + header.readUInt16LE(26);
    const extra = await this.#source.read(extraOffset, header.readUInt16LE(28));
    const compressedSize = header.readUInt32LE(18);
    const size = header.readUInt32LE(22);
    const long = zip64Sizes(extra, size === SATURATED, compressedSize === SATURATED);
    this.#compareSizes(index, long.size ?? size, long.compressedSize ?? compressedSize, false);
  }

  #compareName(index: number, bytes: Buffer, start: number, length: number): void {
    const { bytes: central, offset } = this.#directory;
    const record = (this.#table.centralOffset[index] as number) - offset;
    const centralLength = uint16(central, record + 28);
    if (length !== centralLength) throw this.#disagree(index, "name's length", length, centralLength);
    const centralStart = record + CENTRAL_NAME;
    for (let at = 0; at < length; at++) {
      if (bytes[start + at] === central[centralStart + at]) continue;
      const name = quoteName(bytes.toString('utf8', start, start + length));
      throw this.#disagree(index, 'name', name, quoteName(this.#table.names.text(index)));
    }
  }

  #compareCrc(index: number, crc: number, deferred: boolean): void {
    const central = this.#table.crc32[index] as number;
    if (crc === central) this.#table.localCrc[index] = 1;
    else if (!deferred) {
      const reason = `the CRC-32 in its local header is ${hex(crc)}, in the central directory ${hex(central)}`;
      const name = this.#table.names.text(index);
      this.#warnings.push(refuse('ERR_MLFS_CRC', this.#source.path, name, reason));
    }
  }

  #compareSizes(index: number, size: number, compressedSize: number, deferred: boolean): void {
    const central = { size: this.#table.size[index], compressedSize: this.#table.compressedSize[index] };
    if (size !== central.size && !(deferred && size === 0)) {
      throw this.#disagree(index, 'size', size, central.size as number);
    }
    if (compressedSize !== central.compressedSize && !(deferred && compressedSize === 0)) {
      throw this.#disagree(index, 'compressed size', compressedSize, central.compressedSize as number);
    }
  }

  #disagree(index: number, what: string, local: number | string, central: number | string): MlfsError {
    const place = `local header at byte ${this.#table.localHeaderOffset[index]} and central directory`;
    return this.#refuse(index, `${place} disagree on the ${what}: ${local}, ${central}`);
  }

  #refuse(index: number, reason: string): MlfsError {
    return refuse('ERR_MLFS_ZIP_MISMATCH', this.#source.path, this.#table.names.text(index), reason);
  }
}

/** The ZIP64 extra field (APPNOTE 4.5.3): size, then compressed size, each only where the short field is saturated. */
function zip64Sizes(extra: Buffer, wantsSize: boolean, wantsCompressed: boolean) {
  for (let at = 0; at + 4 <= extra.length; ) {
    const id = extra.readUInt16LE(at);
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (id === ZIP64_EXTRA && end <= extra.length) {
      let field = at + 4;
      const read = () => {
        if (field + 8 > end) return undefined;
        field += 8;
        return Number(extra.readBigUInt64LE(field - 8));
      };
      const size = wantsSize ? read() : undefined;
      const compressedSize = wantsCompressed ? read() : undefined;
      return { size, compressedSize };
    }
    at = end;
  }
  return { size: undefined, compressedSize: undefined };
}

export function hex(crc: number): string {
  return `0x${crc.toString(16).padStart(8, '0')}`;
}
