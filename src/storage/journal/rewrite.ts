/**
 * What becomes of records that a failed sync left in doubt. The kernel marks pages that it could not write as clean: a second fsync would
 * succeed and prove nothing, and the pages may go. So, while they can still be read, and only if their checksums are right, the records are
 * written anew into a segment of their own, with the same numbers. It gets its name when it is durable as a whole; from then on it
 * stands for them, because it begins with the first of their numbers. What comes after them goes there, too.
 */
import { join } from 'node:path';
import { MlfsError } from '../../errors.ts';
import type { Medium, MediumFile } from '../medium.ts';
import { RecordReader } from './record-reader.ts';
import {
  encodeSegmentHeader,
  mayBeSegment,
  SEGMENT_HEADER_BYTES,
  type Segment,
  segmentNumber,
  segmentPath,
} from './segment.ts';
import { newSegment } from './segments.ts';

/** Bytes of one segment that lie in another now. */
export interface MovedRecords {
  /** The old segment, and where in it. */
  readonly segment: number;
  readonly start: number;
  readonly end: number;
  readonly to: { readonly file: MediumFile; readonly fileOffset: number; readonly segment: number };
}

const SLICE_BYTES = 1024 * 1024;

/** A segment under this name is not one yet. */
const UNFINISHED = '.new';

/** `instead`: what stands in place of the records in doubt. The suspects are the last segments there are. */
export async function writeAnew(
  medium: Medium,
  directory: string,
  number: number,
  firstSequence: number,
  suspects: readonly Segment[],
  instead?: readonly Uint8Array[],
): Promise<{ segment: Segment; moved: MovedRecords[] }> {
  const path = segmentPath(directory, number);
  const unfinished = path + UNFINISHED;
  await removeLeftover(medium, directory, unfinished);
  const draft = await medium.open(unfinished, 'create');
  const starts: number[] = [];
  let size = SEGMENT_HEADER_BYTES;
  try {
    const replaced = suspects.filter(({ durableSize }) => durableSize === 0).length;
    await draft.write(0, [encodeSegmentHeader(number, firstSequence, replaced)]);
    if (instead !== undefined) {
      await draft.write(size, instead);
      size += instead.reduce((sum, { byteLength }) => sum + byteLength, 0);
    } else {
      for (const suspect of suspects) {
        starts.push(size);
        size = await copyRecords(suspect, draft, size);
      }
    }
    await draft.sync();
  } catch (cause) {
    await draft.close();
    // The room it takes may be what is lacking. If it stays, the next attempt removes it.
    await medium.remove(unfinished).catch(() => undefined);
    throw cause;
  }
  await draft.close();
  await medium.rename(unfinished, path);
  try {
    await medium.syncDirectory(directory);
  } catch (cause) {
    // Who was told that it failed shall not find it done. If it stays, the next attempt replaces it.
    await medium.remove(path).catch(() => undefined);
    throw cause;
  }
  const file = await medium.open(path, 'write');
  const moved = starts.map((fileOffset, index) => {
    const suspect = suspects[index] as Segment;
    return {
      segment: suspect.number,
      start: doubtfulFrom(suspect),
      end: suspect.size,
      to: { file, fileOffset, segment: number },
    };
  });
  return { segment: newSegment({ number, path, file, firstSequence, size }), moved };
}

function doubtfulFrom({ durableSize }: Segment): number {
  return Math.max(SEGMENT_HEADER_BYTES, durableSize);
}

async function removeLeftover(medium: Medium, directory: string, unfinished: string): Promise<void> {
  const names = await medium.list(directory);
  if (names.some((name) => unfinished.endsWith(`/${name}`))) await removeUnfinished(medium, unfinished);
}

/** Removes segments that were never finished. What has such a name and was not begun as one stays. */
export async function removeAllUnfinished(medium: Medium, directory: string): Promise<void> {
  for (const name of await medium.list(directory)) {
    const number = name.endsWith(UNFINISHED) ? segmentNumber(name.slice(0, -UNFINISHED.length)) : undefined;
    if (number !== undefined) await removeUnfinished(medium, join(directory, name));
  }
}

async function removeUnfinished(medium: Medium, path: string): Promise<void> {
  const file = await medium.open(path, 'read');
  const own = await mayBeSegment(file).finally(() => file.close());
  if (own) await medium.remove(path);
}

/** Returns where the next bytes go. */
async function copyRecords(suspect: Segment, draft: MediumFile, start: number): Promise<number> {
  await checkRecords(suspect);
  let size = start;
  for (let at = doubtfulFrom(suspect); at < suspect.size; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, suspect.size - at);
    await draft.write(size, [await suspect.file.read(at, length)]);
    size += length;
  }
  return size;
}

/** Throws ERR_MLFS_IO when a record cannot be read as it was written any more. */
async function checkRecords(suspect: Segment): Promise<void> {
  const reader = new RecordReader(suspect.file, suspect.size);
  for (let at = doubtfulFrom(suspect); at < suspect.size; ) {
    const record = await reader.recordAt(at);
    if (typeof record === 'string') {
      throw new MlfsError('ERR_MLFS_IO', `${suspect.path}: the record at byte ${at} is lost: ${record}`, {
        path: suspect.path,
      });
    }
    at = record.end;
  }
}
