/**
 * File names for gradients, reversible for any string. Letters, digits, `_`, `-` and inner dots stand for themselves; every other UTF-16
 * unit is `%` and four hexadecimal digits. A name of more than 240 bytes is split over folders: `first part%+/rest`.
 */

const MAX_PART = 240;
/** No escape sequence ends with it. */
export const CONTINUED = '%+';

/** The path below the folder of gradients, in one or more parts. */
export function gradientPath(name: string): string[] {
  // A leading dot would hide the file or make it `.` or `..`; an empty name would be the folder.
  const escaped = name === '' ? '%' : name.replace(/^\.|[^A-Za-z0-9_.-]/g, escapeUnit);
  const parts: string[] = [];
  let rest = escaped;
  while (rest.length > MAX_PART) {
    parts.push(rest.slice(0, MAX_PART - CONTINUED.length) + CONTINUED);
    rest = rest.slice(MAX_PART - CONTINUED.length);
  }
  return [...parts, rest];
}

export function gradientName(path: readonly string[]): string {
  const escaped = path
    .map((part) => (part.endsWith(CONTINUED) ? part.slice(0, -CONTINUED.length) : part))
    .join('');
  if (escaped === '%') return '';
  return escaped.replace(/%([0-9A-F]{4})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

function escapeUnit(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    const unit = character.charCodeAt(index);
    return `%${unit.toString(16).toUpperCase().padStart(4, '0')}`;
  }).join('');
}
