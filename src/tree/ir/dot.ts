/**
 * The part of Graphviz' language that is needed: https://graphviz.org/doc/info/lang.html. Every name and label is a quoted string. In a
 * string, `"` is escaped by a backslash; in a label backslashes are escapes, too (`\n`, `\l`, `\N`), and `&` starts an HTML entity. NUL ends
 * a string anywhere, and XML (dot writes SVG) does not allow control characters, so hidden characters are escaped first.
 */
import { atOnce } from '../../storage/in-slices.ts';
import { joinedBytes } from '../../storage/joined-bytes.ts';
import { visible } from '../../visible-text.ts';
import { DocumentWriter } from '../document-writer.ts';

/** Nobody lays out more nodes than this; `dot` takes minutes and gigabytes for them. */
const MAX_NODES = 20_000;
const LABEL_CHARACTERS = 200;

export class DotWriter {
  readonly #document = new DocumentWriter('text');
  #nodes = 0;
  #indent = '  ';
  /** Edges are written last, when every node is defined. */
  readonly #edges: string[] = [];

  constructor(name: string) {
    this.#document.line(`digraph ${quoted(name)} {`);
    this.attributes({ rankdir: 'TB', fontname: 'Helvetica' }, 'graph');
    this.attributes({ shape: 'box', fontname: 'Helvetica', fontsize: '11' }, 'node');
    this.attributes({ fontname: 'Helvetica', fontsize: '9' }, 'edge');
  }

  /** Whether there is no room for another node. */
  get full(): boolean {
    return this.#nodes >= MAX_NODES || this.#document.full;
  }

  attributes(values: Readonly<Record<string, string>>, of: 'graph' | 'node' | 'edge'): void {
    this.#document.line(`${this.#indent}${of} ${list(values)};`);
  }

  /** `lines` are shown one below the other. */
  node(id: string, lines: readonly string[], values: Readonly<Record<string, string>> = {}): void {
    this.#nodes++;
    this.#document.line(`${this.#indent}${quoted(id)} [label=${label(lines)}${more(values)}];`);
  }

  edge(from: string, to: string, values: Readonly<Record<string, string>> = {}): void {
    this.#edges.push(
      `  ${quoted(from)} -> ${quoted(to)}${Object.keys(values).length === 0 ? '' : ` ${list(values)}`};`,
    );
  }

  /** Nodes that `write` writes are drawn in a box of their own. */
  cluster(id: string, lines: readonly string[], write: () => void): void {
    this.#document.line(`${this.#indent}subgraph ${quoted(`cluster_${id}`)} {`);
    const outer = this.#indent;
    this.#indent += '  ';
    this.#document.line(`${this.#indent}label=${label(lines)};`);
    write();
    this.#indent = outer;
    this.#document.line(`${outer}}`);
  }

  /** Blocks the event loop: use it in a separate process. */
  text(): string {
    return atOnce(this.bytes()).toString();
  }

  /** In UTF-8. Yields between its parts. */
  *bytes(): Generator<void, Buffer> {
    const tail = new DocumentWriter('text');
    for (const edge of this.#edges) {
      tail.line(edge);
      yield;
    }
    const cut = this.full ? '  // The graph goes on: there are more nodes than can be laid out.\n' : '';
    // A document that was cut ends between two lines, perhaps inside a cluster: its braces then do not match.
    if (this.#document.full) return Buffer.from(`digraph {\n${cut}}\n`);
    const nodes = yield* this.#document.bytes('');
    const edges = yield* tail.bytes('  // The edges go on.');
    return yield* joinedBytes([nodes, edges, Buffer.from(`${cut}}\n`)]);
  }
}

function list(values: Readonly<Record<string, string>>): string {
  return `[${Object.entries(values)
    .map(([key, value]) => `${key}=${quoted(value)}`)
    .join(', ')}]`;
}

function more(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([key, value]) => `, ${key}=${quoted(value)}`)
    .join('');
}

/** An identifier. */
export function quoted(text: string): string {
  return `"${visible(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** A label of several lines. */
export function label(lines: readonly string[]): string {
  const parts = lines.map((line) => {
    const characters = Array.from(line);
    const cut =
      characters.length > LABEL_CHARACTERS ? `${characters.slice(0, LABEL_CHARACTERS - 1).join('')}…` : line;
    return visible(cut).replaceAll('&', '&amp;').replaceAll('\\', '\\\\').replaceAll('"', '\\"');
  });
  return `"${parts.join('\\n')}"`;
}
