/**
 * Work on the journalled bytes of many pieces that no byte of has to enter the JavaScript heap for: copying them into a file, and comparing
 * their CRC-32 with those of the base. Native threads do it where the addon can reach the files. Where it cannot, and when it fails, the same is
 * done with reads and writes here, which find the reason of the failure again and name it.
 */
import type { ByteSource } from './byte-source.ts';
import { crc32 } from './crc32.ts';
import { inParallel } from './in-parallel.ts';
import type { MediumFile } from './medium.ts';
import { loadNative, type NativeAddon } from './native.ts';
import type { DirtyRange, Piece } from './overlay.ts';

/** Maximum size of the work of one call, some 5 ms of a thread: requests that need a thread of libuv's pool wait no longer for one. */
const CALL_BYTES = 8 * 1024 * 1024;
const CALL_PIECES = 1024;
/** Calls in flight. Half of libuv's threads stay free for requests. */
const CALLS_AT_ONCE = 2;
/** Pieces in flight that this thread reads. A piece lies in one chunk of the overlay, so they take 16 MiB at most. */
const PIECES_AT_ONCE = 16;
/** Numbers of a run, as the addon takes them. */
const RUN_FIELDS = 4;

/** Copies pieces to their places in a file. `onCopied` gets the number of bytes after each step. Copying twice gives the same result. */
export async function copyPieces(
  file: MediumFile,
  pieces: Iterable<Piece>,
  onCopied: (bytes: number) => void,
): Promise<void> {
  await inParallel(calls(pieces), CALLS_AT_ONCE, async (call) => {
    const native = runsFor(call, 'copyRuns', () => file.descriptor?.());
    const copied = await attempted(native, ({ addon, fd, fds, runs }) =>
      addon.copyRuns(fd, fds, runs).then(() => true),
    );
    if (copied === true) {
      onCopied(call.reduce((sum, { start, end }) => sum + (end - start), 0));
      return;
    }
    await inParallel(call, PIECES_AT_ONCE, async ({ start, end, file: segment, fileOffset }) => {
      await file.write(start, [await segment.read(fileOffset, end - start)]);
      onCopied(end - start);
    });
  });
}

/** A file that the pieces lie over: its descriptor, if it has one, serves the addon. */
export type ComparedBase = Pick<ByteSource, 'read'> & { readonly fd?: number | undefined };

/** A piece that changes a checksum. */
export interface ComparedPiece extends Piece {
  /** Number of the innermost checked range that it lies in. */
  readonly group: number;
}

/**
 * Calls `onDifference` for ranges of the base with the XOR of the CRC-32 of their bytes before and after: a range for each piece, or one for
 * several pieces of a group that follow each other. `pieces` ascend.
 */
export async function compareCrc32(
  base: ComparedBase,
  pieces: Iterable<ComparedPiece>,
  onDifference: (range: DirtyRange, difference: number) => void,
): Promise<void> {
  await inParallel(calls(pieces), CALLS_AT_ONCE, async (call) => {
    const native = runsFor(call, 'crc32Differences', () => base.fd);
    const differences = await attempted(native, ({ addon, fd, fds, runs }) =>
      addon.crc32Differences(
        fd,
        fds,
        runs,
        Float64Array.from(call, ({ group }) => group),
      ),
    );
    if (differences !== undefined) {
      for (const [index, range] of groupsOf(call).entries())
        onDifference(range, differences[index] as number);
      return;
    }
    await inParallel(call, PIECES_AT_ONCE, async (piece) => {
      const length = piece.end - piece.start;
      const before = await base.read(piece.start, length);
      const after = await piece.file.read(piece.fileOffset, length);
      onDifference(piece, (crc32(before) ^ crc32(after)) >>> 0);
    });
  });
}

/** The ranges of the groups, as the addon forms them. */
function groupsOf(pieces: readonly ComparedPiece[]): DirtyRange[] {
  const ranges: { start: number; end: number }[] = [];
  let last: number | undefined;
  for (const { start, end, group } of pieces) {
    const range = ranges.at(-1);
    if (range !== undefined && group === last) range.end = end;
    else ranges.push({ start, end });
    last = group;
  }
  return ranges;
}

/** Consecutive pieces, as many as one call takes. */
function* calls<T extends Piece>(pieces: Iterable<T>): Generator<readonly T[], void> {
  let call: T[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    call.push(piece);
    bytes += piece.end - piece.start;
    if (bytes < CALL_BYTES && call.length < CALL_PIECES) continue;
    yield call;
    call = [];
    bytes = 0;
  }
  if (call.length > 0) yield call;
}

interface NativeRuns {
  readonly addon: NativeAddon;
  /** The file that the pieces belong to. */
  readonly fd: number;
  readonly fds: Int32Array;
  readonly runs: Float64Array;
}

/** The arguments of a call, or undefined when the addon lacks the function or cannot reach a file. */
function runsFor(
  pieces: readonly Piece[],
  name: 'copyRuns' | 'crc32Differences',
  descriptor: () => number | undefined,
): NativeRuns | undefined {
  const addon = loadNative();
  // An addon from an older build lacks these functions.
  if (typeof addon?.[name] !== 'function') return undefined;
  const fd = descriptor();
  if (fd === undefined || fd < 0) return undefined;
  const indexes = new Map<MediumFile, number>();
  const runs = new Float64Array(pieces.length * RUN_FIELDS);
  let at = 0;
  for (const { file, fileOffset, start, end } of pieces) {
    if (file.descriptor === undefined) return undefined;
    const index = indexes.get(file) ?? indexes.size;
    indexes.set(file, index);
    runs[at++] = index;
    runs[at++] = fileOffset;
    runs[at++] = start;
    runs[at++] = end - start;
  }
  const fds = Int32Array.from([...indexes.keys()], (file) => file.descriptor?.() ?? -1);
  return { addon, fd, fds, runs };
}

/** The result of a call, or undefined when it fails, also at its very beginning, where it duplicates descriptors. */
async function attempted<T>(
  native: NativeRuns | undefined,
  call: (native: NativeRuns) => Promise<T>,
): Promise<T | undefined> {
  if (native === undefined) return undefined;
  try {
    return await call(native);
  } catch {
    return undefined;
  }
}
