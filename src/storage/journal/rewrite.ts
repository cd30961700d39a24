/**
 * What becomes of records that a failed sync left in doubt. The kernel marks pages that it could not write as clean: a second fsync would
 * succeed and prove nothing, and the pages may go. So, while they can still be read, and only if their checksums are right, the records are
 * written anew into a segment of their own, with the same numbers. It gets its name when it is durable as a whole; from then on it
 * stands for them, because it begins with the first of their numbers.
 */
import { MlfsError } from '../../errors.ts';
import type { Medium, MediumFile } from '../medium.ts';
import { RecordReader } from './record-reader.ts';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type Segment, segmentPath } from './segment.ts';

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
export const UNFINISHED = '.new';

export async function writeAnew(
  medium: Medium,
  directory: string,
  number: number,
  firstSequence: number,
  suspects: readonly Segment[],
): Promise<{ segment: Segment; moved: MovedRecords[] }> {
  const path = segmentPath(directory, number);
  const unfinished = path + UNFINISHED;
  await removeLeftover(medium, directory, unfinished);
  const draft = await medium.open(unfinished, 'create');
  let size = SEGMENT_HEADER_BYTES;
  const starts: number[] = [];
  try {
    await draft.write(0, [encodeSegmentHeader(number, firstSequence)]);
    for (const suspect of suspects) {
      const from = Math.max(SEGMENT_HEADER_BYTES, suspect.durableSize);
      await checkRecords(suspect, from);
      starts.push(size);
      for (let at = from; at < suspect.size; at += SLICE_BYTES) {
        const length = Math.min(SLICE_BYTES, suspect.size - at);
        await draft.write(size, [await suspect.file.read(at, length)]);
        size += length;
      }
    }
    await draft.sync();
  } finally {
    await draft.close();
  }
  await medium.rename(unfinished, path);
  await medium.syncDirectory(directory);
  const file = await medium.open(path, 'write');
  const segment = {
    number,
    path,
    file,
    firstSequence,
    size,
    durableSize: size,
    replaced: false,
    closed: false,
  };
  const moved = suspects.map((suspect, index) => ({
    segment: suspect.number,
    start: Math.max(SEGMENT_HEADER_BYTES, suspect.durableSize),
    end: suspect.size,
    to: { file, fileOffset: starts[index] as number, segment: number },
  }));
  return { segment, moved };
}

async function removeLeftover(medium: Medium, directory: string, unfinished: string): Promise<void> {
  const names = await medium.list(directory);
  if (names.some((name) => unfinished.endsWith(`/${name}`))) await medium.remove(unfinished);
}

/** Throws ERR_MLFS_IO when a record cannot be read as it was written any more. */
async function checkRecords(suspect: Segment, from: number): Promise<void> {
  const reader = new RecordReader(suspect.file, suspect.size);
  for (let at = from; at < suspect.size; ) {
    const record = await reader.recordAt(at);
    if (typeof record === 'string') {
      throw new MlfsError('ERR_MLFS_IO', `${suspect.path}: the record at byte ${at} is lost: ${record}`, {
        path: suspect.path,
      });
    }
    at = record.end;
  }
}
