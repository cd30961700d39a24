/**
 * What a stranger wrote (a name, a string, a path of a checkpoint) as text that a terminal shows and does not obey. Whatever is printed, logged, thrown as a message
 * or written into a text file of the mount goes through here. The rule is in docs/FORMATS.md, "Text from a checkpoint".
 *
 * Invariants: no result holds a character that `isHidden` finds. A text without one comes back as it is, so that escaping twice changes nothing. JSON
 * parses back to the very same strings.
 */

/**
 * Everything that no glyph stands for: control and format characters (bidirectional controls, zero-width characters, tags), lone surrogates, private-use and unassigned code points, separators of
 * lines and paragraphs, spaces other than U+0020, default-ignorable characters (soft hyphen, variation selectors, fillers); and U+FFFD, which stands for
 * bytes that are not UTF-8.
 */
const HIDDEN = /(?! )[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\ufffd]/u;
const EACH_HIDDEN = new RegExp(HIDDEN.source, 'gu');
const EACH_HIDDEN_OF_LINES = new RegExp(`(?!\\n)${HIDDEN.source}`, 'gu');

/** Most texts are ASCII, and this is much faster than the classes of Unicode. */
const PLAIN = /^[ -~]*$/;
const PLAIN_LINES = /^[ -~\n]*$/;

/** Whether a text holds a character that is escaped. */
export function isHidden(text: string): boolean {
  return !PLAIN.test(text) && HIDDEN.test(text);
}

/** A text on one line: `\n`, `\x1b`, `\u202e`, `\U000e0041` as Python writes them. Backslashes of its own stay: it is for reading, not for parsing. */
export function visible(text: string): string {
  return PLAIN.test(text) ? text : text.replace(EACH_HIDDEN, escaped);
}

/** A text of several lines. Names in it went through `visible` before, so that they make no lines of their own. */
export function visibleLines(text: string): string {
  return PLAIN_LINES.test(text) ? text : text.replace(EACH_HIDDEN_OF_LINES, escaped);
}

/** The JSON of a value, by `JSON.stringify`: what is hidden is `\u00XX`, and `JSON.parse` gives the same value. */
export function visibleJson(value: unknown, indent?: number): string {
  return escapeJson(JSON.stringify(value, undefined, indent));
}

/** The same of a JSON text that somebody else wrote. Tabs and carriage returns between its values become spaces. */
export function escapeJson(json: string): string {
  if (PLAIN_LINES.test(json)) return json;
  return json.replace(EACH_HIDDEN_OF_LINES, (character) =>
    character === '\t' || character === '\r' ? ' ' : unitsAsJson(character),
  );
}

/** Bytes of a name in a message. */
export const MAX_NAME_BYTES = 200;

/** A name in a message: in quotes, escaped as in JSON, at most 200 bytes and two quotes. */
export function quoteName(name: string): string {
  return `"${cut(name, MAX_NAME_BYTES, (piece) => visibleJson(piece).slice(1, -1))}"`;
}

/** `visible`, at most `maxBytes` of UTF-8. What is longer loses its middle, and says how much: a message begins with the place and ends with the reason. */
export function bounded(text: string, maxBytes: number): string {
  return cut(text, maxBytes, visible);
}

/** `… (12,345 characters left out) …` of the largest string there is. */
const MARK_BYTES = 44;

function cut(text: string, maxBytes: number, form: (piece: string) => string): string {
  if (text.length <= maxBytes) {
    const whole = form(text);
    if (Buffer.byteLength(whole) <= maxBytes) return whole;
  }
  const room = Math.max(0, maxBytes - MARK_BYTES);
  // Every character has a byte at least.
  const head = fitting(Array.from(text.slice(0, room)), Math.ceil((room * 2) / 3), form);
  const rest = text.slice(Math.max(head.taken, text.length - room));
  const tail = fitting(Array.from(rest).reverse(), Math.floor(room / 3), form);
  const leftOut = (text.length - head.taken - tail.taken).toLocaleString('en-US');
  return `${head.pieces.join('')}… (${leftOut} characters left out) …${tail.pieces.reverse().join('')}`;
}

/** The first characters whose escaped forms fit. `taken`: their UTF-16 units. */
function fitting(characters: readonly string[], maxBytes: number, form: (piece: string) => string) {
  const pieces: string[] = [];
  let taken = 0;
  let bytes = 0;
  for (const character of characters) {
    const piece = form(character);
    bytes += Buffer.byteLength(piece);
    if (bytes > maxBytes) break;
    pieces.push(piece);
    taken += character.length;
  }
  return { pieces, taken };
}

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** One code point as Python's `repr` writes what it does not print. */
export function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code >= 0x10000) return `\\U${hex(code, 8)}`;
  return SHORT[character] ?? (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
}

function unitsAsJson(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${hex(unit.charCodeAt(0), 4)}`)
    .join('');
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
