import { MlfsError } from '../../errors.ts';
import { crc32, crc32Combine, crc32OfZeros } from '../../storage/crc32.ts';

/**
 * Where the bytes of an entry that is being written come from:
 * the bytes themselves, zeros that become a hole in the file, zeros with a few ranges filled, a function that is asked for one range
 * after the other, or a stream of pieces.
 */
export type Fill =
  | Uint8Array
  | 'sparse-zeros'
  | { readonly ranges: readonly FilledRange[] }
  | ((offset: number, length: number) => Uint8Array | Promise<Uint8Array>)
  | AsyncIterable<Uint8Array>;

export interface FilledRange {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Bytes, or the length of a run of zeros. */
type Piece = Uint8Array | number;

/** Maximum size of one request to a function, and of one write. */
const PIECE_BYTES = 1024 * 1024;

/** Hands `length` bytes of the fill to `write` in order, skipping over holes with `skip`; returns their CRC-32. */
export async function pour(
  fill: Fill,
  length: number,
  write: (bytes: Uint8Array) => Promise<void>,
  skip: (length: number) => void,
): Promise<number> {
  let crc = 0;
  let done = 0;
  for await (const piece of piecesOf(fill, length)) {
    const pieceLength = typeof piece === 'number' ? piece : piece.byteLength;
    if (done + pieceLength > length) throw wrongLength(length, 'more');
    if (typeof piece === 'number') {
      crc = crc32Combine(crc, crc32OfZeros(piece), piece);
      skip(piece);
    } else {
      crc = crc32(piece, crc);
      await write(piece);
    }
    done += pieceLength;
  }
  if (done < length) throw wrongLength(length, done);
  return crc;
}

function wrongLength(length: number, given: number | 'more'): MlfsError {
  return new MlfsError('ERR_MLFS_USAGE', `an entry of ${length} bytes was given ${given}`);
}

async function* piecesOf(fill: Fill, length: number): AsyncGenerator<Piece> {
  if (fill === 'sparse-zeros') {
    yield length;
  } else if (fill instanceof Uint8Array) {
    if (fill.byteLength !== length) throw wrongLength(length, fill.byteLength);
    for (let at = 0; at < length; at += PIECE_BYTES) yield fill.subarray(at, at + PIECE_BYTES);
  } else if (typeof fill === 'function') {
    for (let at = 0; at < length; at += PIECE_BYTES) yield await fill(at, Math.min(PIECE_BYTES, length - at));
  } else if ('ranges' in fill) {
    let at = 0;
    for (const { offset, bytes } of fill.ranges) {
      if (offset < at) throw new MlfsError('ERR_MLFS_USAGE', `the filled range at ${offset} is out of order`);
      yield offset - at;
      yield bytes;
      at = offset + bytes.byteLength;
    }
    yield length - at;
  } else {
    yield* fill;
  }
}
