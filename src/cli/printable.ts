/** Formats numbers and tables. */
import { visible } from '../visible-text.ts';

/** `46.8 MB`: decimal units, like `ls --si` and disk sizes. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value < 99.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** `46.8 MB (46,827,520 bytes)`. */
export function exactBytes(bytes: number): string {
  const exact = `${grouped(bytes)} ${bytes === 1 ? 'byte' : 'bytes'}`;
  return bytes < 1000 ? exact : `${humanBytes(bytes)} (${exact})`;
}

/** `46,827,520`. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

export function plural(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** Columns that a terminal uses for a visible text: two for wide characters, none for combining ones. */
export function columnsOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += /\p{M}/u.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

/** East Asian Wide and Fullwidth (Unicode's annex 11), by blocks, and emoji. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{17000}-\u{18cff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;

/** Maximum width of a column: one name of a million characters must not make every line as long. */
const WIDEST_COLUMN = 120;

/** The lines of a table. Cells are made visible; a column is as wide as its widest cell; `right` names the right-aligned columns. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: ReadonlySet<number>,
): string[] {
  const cells = [header, ...rows.map((row) => row.map(visible))];
  const widths = header.map((_, column) =>
    cells.reduce((width, row) => Math.max(width, Math.min(columnsOf(row[column] ?? ''), WIDEST_COLUMN)), 0),
  );
  return cells.map((row) =>
    row
      .map((cell, column) => {
        const space = ' '.repeat(Math.max(0, (widths[column] ?? 0) - columnsOf(cell)));
        return right.has(column) ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
}
