import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { inParallel } from '../../storage/in-parallel.ts';
import { quoteName } from '../../visible-text.ts';
import type { CentralRecord } from './central-directory.ts';
import { refuse } from './refusal.ts';

/** The data's offset, which the local header adds to a central record. */
export interface LocatedRecord {
  readonly central: CentralRecord;
  readonly dataOffset: number;
  /** Whether the local header says the CRC-32 of the central directory: not with a descriptor, and not when they disagree. */
  readonly hasCrc: boolean;
}

const LOCAL_SIGNATURE = 0x04034b50;
const LOCAL_HEADER_LENGTH = 30;
const ZIP64_EXTRA = 0x0001;
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
 * Resolves every record through its local header (APPNOTE 4.3.7) and refuses where the two disagree. `records` must be sorted by
 * localHeaderOffset; headers that lie close together share one read, so small archives take a handful of reads, and
 * 20,000 headers all over a 1 TiB file take 20,000 reads of some 60 bytes.
 */
export async function readLocalHeaders(
  source: ByteSource,
  records: readonly CentralRecord[],
  warnings: MlfsError[],
): Promise<LocatedRecord[]> {
  const located: LocatedRecord[] = new Array(records.length);
  await readRuns(source, mergeReads(records), async (run, bytes) => {
    for (let index = run.first; index < run.end; index++) {
      const central = records[index] as CentralRecord;
      const at = central.localHeaderOffset - run.offset;
      const header = bytes.subarray(at, at + LOCAL_HEADER_LENGTH + central.rawName.length);
      const dataOffset = resolve(source, central, header, warnings);
      located[index] = {
        central,
        dataOffset: typeof dataOffset === 'number' ? dataOffset : await dataOffset,
        hasCrc: header.readUInt32LE(LOCAL_CRC) === central.crc32,
      };
    }
  });
  return located;
}

interface Run {
  readonly first: number;
  end: number;
  readonly offset: number;
  length: number;
}

/**
 * Reads one by one as long as the headers are in the page cache; once reads turn out to wait for a disk, the rest is read concurrently.
 */
async function readRuns(
  source: ByteSource,
  runs: readonly Run[],
  take: (run: Run, bytes: Buffer) => Promise<void>,
): Promise<void> {
  let index = 0;
  let slow = 0;
  let turn = performance.now();
  while (source.readNow !== undefined && index < runs.length) {
    const run = runs[index++] as Run;
    const start = performance.now();
    const bytes = source.readNow(run.offset, run.length);
    const now = performance.now();
    await take(run, bytes);
    if (now - start > SLOW_READ_MS + run.length / CACHED_BYTES_PER_MS) slow++;
    if (slow >= SLOW_READS && slow * SLOW_READS > index) break;
    if (now - turn < TURN_MS) continue;
    await nextTurn();
    turn = performance.now();
  }
  await inParallel(runs.slice(index), READS_AT_ONCE, async (run) => {
    await take(run, await source.read(run.offset, run.length));
  });
}

function mergeReads(records: readonly CentralRecord[]): Run[] {
  const runs: Run[] = [];
  let run: Run | undefined;
  records.forEach((record, index) => {
    const headerEnd = record.localHeaderOffset + LOCAL_HEADER_LENGTH + record.rawName.length;
    if (
      run !== undefined &&
      record.localHeaderOffset - (run.offset + run.length) <= MERGE_GAP_BYTES &&
      headerEnd - run.offset <= MERGED_READ_BYTES
    ) {
      run.end = index + 1;
      run.length = Math.max(run.length, headerEnd - run.offset);
      return;
    }
    run = {
      first: index,
      end: index + 1,
      offset: record.localHeaderOffset,
      length: headerEnd - record.localHeaderOffset,
    };
    runs.push(run);
  });
  return runs;
}

/** Compares a local header with its central record; returns where the data starts. */
function resolve(
  source: ByteSource,
  central: CentralRecord,
  header: Buffer,
  warnings: MlfsError[],
): number | Promise<number> {
  const { name, localHeaderOffset } = central;
  // offset 0: signature
  const signature = header.readUInt32LE(0);
  if (signature !== LOCAL_SIGNATURE) {
    throw refuse(
      'ERR_MLFS_ZIP_MISMATCH',
      source.path,
      name,
      `there is no local header at byte ${localHeaderOffset} (0x${signature.toString(16).padStart(8, '0')})`,
    );
  }
  const disagree = (what: string, local: number | string, inCentral: number | string) =>
    refuse(
      'ERR_MLFS_ZIP_MISMATCH',
      source.path,
      name,
      `local header at byte ${localHeaderOffset} and central directory disagree on the ${what}: ${local}, ${inCentral}`,
    );
  // offset 6: flags; 8: method; 14: CRC-32; 18: compressed size; 22: size; 26: name length; 28: extra length; 30: name
  const flags = header.readUInt16LE(6);
  if ((flags & COMPARED_FLAGS) !== (central.flags & COMPARED_FLAGS)) {
    throw disagree('flags', `0x${flags.toString(16)}`, `0x${central.flags.toString(16)}`);
  }
  const method = header.readUInt16LE(8);
  if (method !== (central.method === 'stored' ? 0 : 8)) throw disagree('method', method, central.method);
  const nameLength = header.readUInt16LE(26);
  if (nameLength !== central.rawName.length) {
    throw disagree("name's length", nameLength, central.rawName.length);
  }
  const rawName = header.subarray(LOCAL_HEADER_LENGTH);
  if (!rawName.equals(central.rawName))
    throw disagree('name', quoteName(rawName.toString('utf8')), quoteName(name));
  const extraLength = header.readUInt16LE(28);
  const extraOffset = localHeaderOffset + LOCAL_HEADER_LENGTH + nameLength;
  const dataOffset = extraOffset + extraLength;

  const crc = header.readUInt32LE(LOCAL_CRC);
  const compressedSize = header.readUInt32LE(18);
  const size = header.readUInt32LE(22);
  const deferred = (flags & DESCRIPTOR_FLAG) !== 0;
  if (!deferred && crc !== central.crc32) {
    warnings.push(
      refuse(
        'ERR_MLFS_CRC',
        source.path,
        name,
        `the CRC-32 in its local header is ${hex(crc)}, in the central directory ${hex(central.crc32)}`,
      ),
    );
  }
  const check = (which: 'size' | 'compressed size', local: number): number => {
    const expected = which === 'size' ? central.size : central.compressedSize;
    if (local === expected || (deferred && local === 0)) return dataOffset;
    throw disagree(which, local, expected);
  };
  if (size !== 0xffffffff && compressedSize !== 0xffffffff) {
    check('size', size);
    return check('compressed size', compressedSize);
  }
  // With bit 3 the extra may hold anything, mostly zeros: the sizes are in the descriptor.
  if (deferred) return dataOffset;
  return source.read(extraOffset, extraLength).then((extra) => {
    const long = zip64Sizes(extra, size === 0xffffffff, compressedSize === 0xffffffff);
    check('size', long.size ?? size);
    return check('compressed size', long.compressedSize ?? compressedSize);
  });
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
