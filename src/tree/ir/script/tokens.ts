/** The tokens of a logical line. */

export interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  readonly start: number;
}

/** Thrown for text that does not parse: the line is kept as text. */
export class Unparsed extends Error {}

const TOKEN =
  /\s*(?:(?<name>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|(?<number>(?:0[xX][\da-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[jJ]?)|(?<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<symbol>\*\*|\/\/|<<|>>|->|[=!<>]=|[-+*/%@&|^~<>=()[\]{}.,:;]))/y;

export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const groups = TOKEN.exec(text)?.groups;
    if (groups === undefined) throw new Unparsed(`at ${at}`);
    for (const kind of ['name', 'number', 'string', 'symbol'] as const) {
      const found = groups[kind];
      if (found !== undefined) tokens.push({ kind, text: found, start: TOKEN.lastIndex - found.length });
    }
  }
  tokens.push({ kind: 'end', text: '', start: text.length });
  return tokens;
}
