const MARK = '…';
const MARK_BYTES = 3;
/** UTF-8 has at most three bytes for a UTF-16 unit, so a text this short need not be encoded to know that it fits. */
const MOST_BYTES_PER_UNIT = 3;

/** The text, or its beginning and a `…` in at most `maxBytes` of UTF-8. */
export function cutTo(maxBytes: number, text: string): string {
  if (text.length * MOST_BYTES_PER_UNIT <= maxBytes) return text;
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= maxBytes) return text;
  // A cut in the middle of a character leaves it incomplete.
  return `${bytes.toString('utf8', 0, maxBytes - MARK_BYTES).replace(/\uFFFD+$/, '')}${MARK}`;
}
