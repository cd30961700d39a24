/** Opens the segments of a journal for replay. Checks their headers and changes nothing. */
import { MlfsError } from '../../errors.ts';
import type { Medium, MediumFile } from '../medium.ts';
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  mayBeSegment,
  SEGMENT_HEADER_BYTES,
  segmentNumber,
  segmentPath,
} from './segment.ts';

export interface OpenSegment {
  readonly number: number;
  readonly path: string;
  readonly file: MediumFile;
  readonly fileSize: number;
  /** Undefined when its header is damaged, for that reason. */
  readonly firstSequence: number | undefined;
  readonly reason: string;
  /** Number of segments right before it that are superseded. */
  readonly replaced: number;
}

/** Opens the segments, the oldest first, and adds each to `opened`, which the caller closes. Throws ERR_MLFS_RECOVERY. */
export async function openSegments(
  medium: Medium,
  directory: string,
  how: 'read' | 'write',
  opened: OpenSegment[],
): Promise<void> {
  for (const number of await segmentNumbers(medium, directory)) {
    opened.push(await openSegment(medium, directory, number, how));
  }
}

async function segmentNumbers(medium: Medium, directory: string): Promise<number[]> {
  const numbers = (await medium.list(directory))
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  for (const [index, number] of numbers.entries()) {
    const before = numbers[index - 1];
    if (before === undefined || number === before + 1) continue;
    throw damaged(directory, segmentPath(directory, before + 1), 'is missing, but there are later segments');
  }
  return numbers;
}

async function openSegment(
  medium: Medium,
  directory: string,
  number: number,
  how: 'read' | 'write',
): Promise<OpenSegment> {
  const path = segmentPath(directory, number);
  const file = await medium.open(path, how);
  try {
    if (!(await mayBeSegment(file))) {
      throw new MlfsError('ERR_MLFS_RECOVERY', `${path}: is not a segment of a journal of MLFS`, {
        path,
        advice: `Move it away if it is not from MLFS; otherwise restore ${directory} from a copy.`,
      });
    }
    const fileSize = await file.size();
    const header = decodeSegmentHeader(await file.read(0, Math.min(fileSize, SEGMENT_HEADER_BYTES)), number);
    const opened = { number, path, file, fileSize };
    if (typeof header === 'string')
      return { ...opened, firstSequence: undefined, reason: header, replaced: 0 };
    const { version, firstSequence, replaced } = header;
    if (version === FORMAT_VERSION) return { ...opened, firstSequence, reason: '', replaced };
    throw new MlfsError(
      'ERR_MLFS_RECOVERY',
      `${path}: has version ${version} of the journal's format; this mlfs reads version ${FORMAT_VERSION}`,
      { path, advice: 'Use the version of mlfs that wrote it.' },
    );
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

/** Error for a journal that cannot be replayed. */
export function damaged(directory: string, path: string, what: string): MlfsError {
  return new MlfsError('ERR_MLFS_RECOVERY', `${path}: ${what}`, {
    path,
    advice: `Restore ${directory} from a copy, or drop the edits in it: mlfs discard; mlfs mount --read-only shows the file without them.`,
  });
}
