const MARK = '…';
const MARK_BYTES = 3;
/** UTF-8 has at most three bytes for a unit of a string: what is as short as that need not be counted. */
const MOST_BYTES_PER_UNIT = 3;

/** The text, or as much of it as is `maxBytes` of UTF-8 with the `…` that it then ends in. */
export function cutTo(maxBytes: number, text: string): string {
  if (text.length * MOST_BYTES_PER_UNIT <= maxBytes) return text;
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= maxBytes) return text;
  // In the middle of a character the last one is not whole.
  return `${bytes.toString('utf8', 0, maxBytes - MARK_BYTES).replace(/\uFFFD+$/, '')}${MARK}`;
}
