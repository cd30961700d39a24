/**
 * Printed Python as logical lines: a line continues in the next one while a bracket is open or if a backslash ends it. Nothing is refused; a
 * bracket that is never closed ends at the next line that starts a definition.
 */

export interface LogicalLine {
  /** Number of the first physical line, from 1. */
  readonly line: number;
  /** Spaces before the text. */
  readonly indent: number;
  /** Without the indentation and without comments; continued lines are joined by one space. */
  readonly text: string;
}

/** Maximum length of a line: a printed line has a few hundred characters. */
const LINE_CHARACTERS = 256 * 1024;

export function* logicalLines(source: string): Generator<LogicalLine> {
  let pending: { line: number; indent: number; parts: string[]; length: number; open: number } | undefined;
  let number = 0;
  for (const physical of source.split('\n')) {
    number++;
    const trimmed = physical.trim();
    if (pending !== undefined && (pending.length > LINE_CHARACTERS || /^(def|class)\s/.test(trimmed))) {
      yield { line: pending.line, indent: pending.indent, text: pending.parts.join(' ') };
      pending = undefined;
    }
    const { code, open } = scan(trimmed);
    if (code === '') continue;
    const goesOn = code.endsWith('\\');
    const part = goesOn ? code.slice(0, -1).trimEnd() : code;
    pending ??= { line: number, indent: indentOf(physical), parts: [], length: 0, open: 0 };
    pending.parts.push(part);
    pending.length += part.length + 1;
    pending.open += open;
    if (pending.open > 0 || goesOn) continue;
    yield { line: pending.line, indent: pending.indent, text: pending.parts.join(' ') };
    pending = undefined;
  }
  if (pending !== undefined) {
    yield { line: pending.line, indent: pending.indent, text: pending.parts.join(' ') };
  }
}

function indentOf(line: string): number {
  const indent = line.search(/[^ \t]/);
  return indent === -1 ? 0 : indent;
}

/** The code of a line without its comment, and how many more brackets it opens than it closes. */
function scan(line: string): { code: string; open: number } {
  let open = 0;
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const character = line[at] as string;
    if (quote !== '') {
      if (character === '\\') at++;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'") {
      quote = character;
    } else if (character === '#') {
      return { code: line.slice(0, at).trimEnd(), open };
    } else if ('([{'.includes(character)) {
      open++;
    } else if (')]}'.includes(character)) {
      open--;
    }
  }
  return { code: line, open };
}
