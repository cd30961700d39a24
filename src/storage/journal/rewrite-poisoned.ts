/**
 * Rewrites the records that a failed sync poisoned. After a failed sync the kernel marks the pages that it could not write as clean: a
 * second fsync would succeed and prove nothing, and the pages may be dropped. So the poisoned records are copied into a segment of their
 * own with the same sequence numbers, while they can still be read, and only if their checksums are right. The segment gets its name when
 * it is durable as a whole. From then on it supersedes the poisoned records, because it begins with the first of their numbers. Later
 * records go there, too.
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

/** Bytes of one segment that were copied to another. */
export interface MovedRecords {
  /** The old segment, and the offset in it. */
  readonly segment: number;
  readonly start: number;
  readonly end: number;
  readonly to: { readonly file: MediumFile; readonly fileOffset: number; readonly segment: number };
}

const SLICE_BYTES = 1024 * 1024;

/** A file with this ending is not a segment yet. */
const UNFINISHED = '.new';

/** `poisoned`: the last segments of the journal. `instead`: a record that replaces the poisoned ones. */
export async function rewritePoisoned(
  medium: Medium,
  directory: string,
  number: number,
  firstSequence: number,
  poisoned: readonly Segment[],
  instead?: readonly Uint8Array[],
): Promise<{ segment: Segment; moved: MovedRecords[] }> {
  const path = segmentPath(directory, number);
  const unfinished = path + UNFINISHED;
  await removeLeftover(medium, directory, unfinished);
  const draft = await medium.open(unfinished, 'create');
  const starts: number[] = [];
  let size = SEGMENT_HEADER_BYTES;
  try {
    const replaced = poisoned.filter(({ durableSize }) => durableSize === 0).length;
    await draft.write(0, [encodeSegmentHeader(number, firstSequence, replaced)]);
    if (instead !== undefined) {
      await draft.write(size, instead);
      size += instead.reduce((sum, { byteLength }) => sum + byteLength, 0);
    } else {
      for (const segment of poisoned) {
        starts.push(size);
        size = await copyRecords(segment, draft, size);
      }
    }
    await draft.sync();
  } catch (cause) {
    await draft.close();
    // The disk may lack the space that the file takes. If it cannot be removed, the next attempt removes it.
    await medium.remove(unfinished).catch(() => undefined);
    throw cause;
  }
  await draft.close();
  await medium.rename(unfinished, path);
  try {
    await medium.syncDirectory(directory);
  } catch (cause) {
    // A rewrite reported as failed must not reappear after a restart. If the file stays, the next attempt replaces it.
    await medium.remove(path).catch(() => undefined);
    throw cause;
  }
  const file = await medium.open(path, 'write');
  const moved = starts.map((fileOffset, index) => {
    const segment = poisoned[index] as Segment;
    return {
      segment: segment.number,
      start: poisonedFrom(segment),
      end: segment.size,
      to: { file, fileOffset, segment: number },
    };
  });
  return { segment: newSegment({ number, path, file, firstSequence, size }), moved };
}

function poisonedFrom({ durableSize }: Segment): number {
  return Math.max(SEGMENT_HEADER_BYTES, durableSize);
}

async function removeLeftover(medium: Medium, directory: string, unfinished: string): Promise<void> {
  const names = await medium.list(directory);
  if (names.some((name) => unfinished.endsWith(`/${name}`))) await removeUnfinished(medium, unfinished);
}

/** Removes segments that were never finished. A file with such a name that does not begin like a segment stays. */
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

/** Returns the offset for the next bytes. */
async function copyRecords(segment: Segment, draft: MediumFile, start: number): Promise<number> {
  await checkRecords(segment);
  let size = start;
  for (let at = poisonedFrom(segment); at < segment.size; at += SLICE_BYTES) {
    const length = Math.min(SLICE_BYTES, segment.size - at);
    await draft.write(size, [await segment.file.read(at, length)]);
    size += length;
  }
  return size;
}

/** Throws ERR_MLFS_IO when a record can no longer be read as it was written. */
async function checkRecords(segment: Segment): Promise<void> {
  const reader = new RecordReader(segment.file, segment.size);
  for (let at = poisonedFrom(segment); at < segment.size; ) {
    const record = await reader.recordAt(at);
    if (typeof record === 'string') {
      throw new MlfsError('ERR_MLFS_IO', `${segment.path}: the record at byte ${at} is lost: ${record}`, {
        path: segment.path,
      });
    }
    at = record.end;
  }
}
