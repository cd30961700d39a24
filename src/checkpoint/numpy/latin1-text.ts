/**
 * Bytes as pickles of protocols 0 to 2 store them: a text whose characters are the bytes, in UTF-8, for `_codecs.encode(text, 'latin1')`.
 * Bytes from 0x80 on take two bytes there, so an index with an entry every 64 KiB finds the position of a byte.
 */

/** The function with which pickles of these protocols make bytes. */
export const ENCODE = '_codecs.encode';

/** A text in UTF-8, and the bytes that it stands for. */
export interface Latin1Text {
  /** The text as it is stored in the pickle. */
  readonly encoded: Uint8Array;
  /** Offset in the text of byte `index · STEP`. */
  readonly index: readonly number[];
}

const STEP = 64 * 1024;

/** Decodes a text; undefined when it is not UTF-8 or has a character beyond U+00FF. */
export function decodeLatin1Text(
  encoded: Uint8Array,
): { readonly bytes: Buffer; readonly text: Latin1Text } | undefined {
  const bytes = Buffer.allocUnsafe(encoded.length);
  const index: number[] = [];
  let length = 0;
  for (let at = 0; at < encoded.length; ) {
    if (length % STEP === 0) index.push(at);
    const lead = encoded[at++] as number;
    if (lead < 0x80) {
      bytes[length++] = lead;
      continue;
    }
    const next = encoded[at++];
    if ((lead !== 0xc2 && lead !== 0xc3) || next === undefined || (next & 0xc0) !== 0x80) return undefined;
    bytes[length++] = ((lead & 3) << 6) | (next & 0x3f);
  }
  return { bytes: bytes.subarray(0, length), text: { encoded, index } };
}

/** Reads [offset, offset + length) of the bytes; `read` returns parts of the encoded text. */
export async function readLatin1Text(
  { index, encodedLength, length: total }: EncodedRange,
  offset: number,
  length: number,
  read: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const end = Math.min(total, offset + length);
  if (end <= offset) return Buffer.alloc(0);
  const first = Math.floor(offset / STEP);
  const from = index[first] as number;
  const to = index[Math.ceil(end / STEP)] ?? encodedLength;
  const text = await read(from, to - from);
  // The text was checked when the file was opened; the native decoder is faster.
  const bytes = Buffer.from(
    Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('utf8'),
    'latin1',
  );
  return bytes.subarray(offset - first * STEP, end - first * STEP);
}

/** The index and sizes of an encoded text; the reader knows its offset. */
export interface EncodedRange {
  readonly index: readonly number[];
  readonly encodedLength: number;
  /** Number of decoded bytes. */
  readonly length: number;
}
