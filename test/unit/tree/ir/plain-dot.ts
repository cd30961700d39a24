/**
 * Graphviz' grammar for directed graphs (https://graphviz.org/doc/info/lang.html), read strictly: what it throws at, `dot` would refuse.
 * Quoted identifiers are taken as dot takes them: only `\"` is an escape.
 */
export interface PlainDot {
  readonly name: string;
  readonly nodes: ReadonlyMap<string, string>;
  readonly edges: readonly (readonly [string, string])[];
  readonly clusters: readonly string[];
}

const TOKEN =
  /\s*(?:\/\/[^\n]*\n\s*)*(?:(->|[{}[\];,=])|"((?:[^"\\]|\\[\s\S])*)"|([A-Za-z_][A-Za-z_0-9]*|-?\d+(?:\.\d+)?))/y;

export function parseDot(text: string): PlainDot {
  if (text.includes('\0')) throw new Error('NUL ends a string');
  const tokens: { symbol: string; id: string | undefined }[] = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const at = TOKEN.lastIndex;
    const found = TOKEN.exec(text);
    if (found === null) throw new Error(`no token at ${at}: ${text.slice(at, at + 40)}`);
    const [, symbol = '', quoted, bare] = found;
    tokens.push({ symbol, id: symbol === '' ? (quoted?.replaceAll('\\"', '"') ?? bare) : undefined });
  }
  return new Parser(tokens).graph();
}

class Parser {
  readonly #tokens: readonly { symbol: string; id: string | undefined }[];
  #at = 0;
  readonly #nodes = new Map<string, string>();
  readonly #edges: [string, string][] = [];
  readonly #clusters: string[] = [];

  constructor(tokens: readonly { symbol: string; id: string | undefined }[]) {
    this.#tokens = tokens;
  }

  graph(): PlainDot {
    if (this.#id() !== 'digraph') throw new Error('no digraph');
    const name = this.#is('{') ? '' : this.#id();
    this.#statements();
    if (this.#at !== this.#tokens.length) throw new Error('something behind the graph');
    return { name, nodes: this.#nodes, edges: this.#edges, clusters: this.#clusters };
  }

  #statements(): void {
    this.#take('{');
    while (!this.#is('}')) {
      const id = this.#id();
      if (id === 'subgraph') {
        this.#clusters.push(this.#id());
        this.#statements();
      } else if (this.#is('=')) {
        this.#take('=');
        this.#id();
      } else if (this.#is('->')) {
        this.#take('->');
        this.#edges.push([id, this.#id()]);
        this.#attributes();
      } else {
        const attributes = this.#attributes();
        if (!['graph', 'node', 'edge'].includes(id)) this.#nodes.set(id, attributes.get('label') ?? id);
      }
      if (this.#is(';')) this.#take(';');
    }
    this.#take('}');
  }

  #attributes(): Map<string, string> {
    const found = new Map<string, string>();
    if (!this.#is('[')) return found;
    this.#take('[');
    while (!this.#is(']')) {
      const key = this.#id();
      this.#take('=');
      found.set(key, this.#id());
      if (this.#is(',')) this.#take(',');
    }
    this.#take(']');
    return found;
  }

  #is(symbol: string): boolean {
    return this.#tokens[this.#at]?.symbol === symbol;
  }

  #take(symbol: string): void {
    if (!this.#is(symbol))
      throw new Error(`${symbol} expected, not ${JSON.stringify(this.#tokens[this.#at])}`);
    this.#at++;
  }

  #id(): string {
    const id = this.#tokens[this.#at]?.id;
    if (id === undefined) throw new Error(`an ID expected, not ${JSON.stringify(this.#tokens[this.#at])}`);
    this.#at++;
    return id;
  }
}
