/**
 * The declarations in a file of TorchScript's code: classes with attributes and methods, and functions. The printer writes a small and
 * regular part of Python (torch/csrc/jit/serialization/python_print.cpp); other lines are kept as text and counted.
 */
import { type Expression, ExpressionReader } from './expressions.ts';
import { type LogicalLine, logicalLines } from './logical-lines.ts';
import { printExpression } from './print-expression.ts';
import { parseStatement, type Statement } from './statements.ts';
import { Unparsed } from './tokens.ts';

export interface Parameter {
  readonly name: string;
  /** Empty if the code has none. */
  readonly type: string;
  readonly value: string | undefined;
}

export interface BodyLine {
  readonly line: number;
  /** The number of blocks around it; 0 for the function's own. */
  readonly depth: number;
  readonly statement: Statement;
}

export interface FunctionDeclaration {
  readonly name: string;
  /** With the class and the file's module in front of it. */
  readonly qualified: string;
  readonly file: string;
  readonly line: number;
  readonly parameters: readonly Parameter[];
  /** Empty if the code has none. */
  readonly returns: string;
  readonly body: BodyLine[];
}

export interface ClassDeclaration {
  readonly name: string;
  readonly qualified: string;
  readonly file: string;
  readonly line: number;
  /** `Module`, `Interface`, `NamedTuple`, `Enum`, … as written; empty for a plain class. */
  readonly base: string;
  readonly parameters: readonly string[];
  readonly buffers: readonly string[];
  readonly attributes: readonly Parameter[];
  readonly methods: readonly FunctionDeclaration[];
}

export interface Declarations {
  readonly classes: ClassDeclaration[];
  readonly functions: FunctionDeclaration[];
  /** Lines that were kept as text. */
  kept: number;
}

/** A source file by its name below `code/`. */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

interface OpenClass extends ClassDeclaration {
  readonly parameters: string[];
  readonly buffers: string[];
  readonly attributes: Parameter[];
  readonly methods: FunctionDeclaration[];
  readonly indent: number;
}

/** Adds what one file declares. */
export function readDeclarations(file: SourceFile, into: Declarations): void {
  const reader = new FileReader(file, into);
  for (const line of logicalLines(file.text)) reader.line(line);
}

class FileReader {
  readonly #file: string;
  readonly #module: string;
  readonly #into: Declarations;
  #class: OpenClass | undefined;
  #function: FunctionDeclaration | undefined;
  #functionIndent = 0;
  /** Indentations of the function's open blocks, its own first. */
  #blocks: number[] = [];

  constructor({ name }: SourceFile, into: Declarations) {
    this.#file = name;
    this.#module = name.replace(/\.py$/, '').replaceAll('/', '.');
    this.#into = into;
  }

  line(line: LogicalLine): void {
    if (this.#function !== undefined && line.indent <= this.#functionIndent) this.#function = undefined;
    if (this.#class !== undefined && line.indent <= this.#class.indent) this.#class = undefined;
    if (this.#function !== undefined) this.#body(line, this.#function);
    else if (/^class\s/.test(line.text)) this.#openClass(line);
    else if (/^def\s/.test(line.text)) this.#openFunction(line);
    else if (this.#class !== undefined) this.#member(line, this.#class);
    else if (!/^(import |op_version_set\b)/.test(line.text)) this.#into.kept++;
  }

  #openClass({ text, line, indent }: LogicalLine): void {
    const found = /^class\s+([^\s(:]+)\s*(?:\((.*)\))?\s*:/.exec(text);
    const name = found?.[1] ?? text.slice('class '.length).replace(/\W.*$/s, '');
    if (found === null) this.#into.kept++;
    this.#class = {
      name,
      qualified: `${this.#module}.${name}`,
      file: this.#file,
      line,
      base: found?.[2]?.trim() ?? '',
      parameters: [],
      buffers: [],
      attributes: [],
      methods: [],
      indent,
    };
    this.#into.classes.push(this.#class);
  }

  #openFunction({ text, line, indent }: LogicalLine): void {
    const owner = this.#class;
    const name = /^def\s+([^\s(]+)/.exec(text)?.[1] ?? '';
    const signature = this.#signature(text);
    const declared: FunctionDeclaration = {
      name,
      qualified: `${owner?.qualified ?? this.#module}.${name}`,
      file: this.#file,
      line,
      ...signature,
      body: [],
    };
    if (owner === undefined) this.#into.functions.push(declared);
    else owner.methods.push(declared);
    this.#function = declared;
    this.#functionIndent = indent;
    this.#blocks = [];
  }

  #signature(text: string): { parameters: Parameter[]; returns: string } {
    try {
      return signatureOf(text);
    } catch (cause) {
      if (!(cause instanceof Unparsed)) throw cause;
      this.#into.kept++;
      return { parameters: [], returns: '' };
    }
  }

  #body({ text, line, indent }: LogicalLine, { body }: FunctionDeclaration): void {
    while (this.#blocks.length > 0 && indent < (this.#blocks.at(-1) ?? 0)) this.#blocks.pop();
    if (indent > (this.#blocks.at(-1) ?? -1)) this.#blocks.push(indent);
    const statement = parseStatement(text);
    if (statement.kind === 'text') this.#into.kept++;
    body.push({ line, depth: this.#blocks.length - 1, statement });
  }

  #member({ text }: LogicalLine, owner: OpenClass): void {
    try {
      if (text === 'pass') return;
      readMember(text, owner);
    } catch (cause) {
      if (!(cause instanceof Unparsed)) throw cause;
      this.#into.kept++;
    }
  }
}

function signatureOf(text: string): { parameters: Parameter[]; returns: string } {
  const reader = new ExpressionReader(text);
  reader.expect('def');
  reader.name();
  reader.expect('(');
  const parameters: Parameter[] = [];
  while (!reader.take(')')) {
    // `*` alone and `*args` occur in signatures of old files.
    if (!reader.take('*')) {
      const name = reader.name();
      const type = reader.take(':') ? printExpression(reader.expression()) : '';
      const value = reader.take('=') ? printExpression(reader.expression()) : undefined;
      parameters.push({ name, type, value });
    }
    if (!reader.take(',') && reader.next.text !== ')') throw new Unparsed(') expected');
  }
  const returns = reader.take('->') ? printExpression(reader.expression()) : '';
  reader.expect(':');
  return { parameters, returns };
}

/** `weight : Tensor`, `eps : Final[float] = 1e-05`, `__parameters__ = […]`, `__annotations__["0"] = …`. */
function readMember(text: string, owner: OpenClass): void {
  const reader = new ExpressionReader(text);
  const target = reader.expressions();
  const type = reader.take(':') ? printExpression(reader.expressions()) : '';
  const value = reader.take('=') ? reader.expressions() : undefined;
  reader.end();
  if (target.kind === 'subscript' && target.of.kind === 'name' && target.of.name === '__annotations__') {
    const [key] = target.items;
    if (key?.kind !== 'literal' || value === undefined) throw new Unparsed('an attribute expected');
    owner.attributes.push({ name: unquoted(key.text), type: printExpression(value), value: undefined });
  } else if (target.kind !== 'name') {
    throw new Unparsed('an attribute expected');
  } else if (target.name === '__parameters__') {
    for (const name of stringsOf(value)) owner.parameters.push(name);
  } else if (target.name === '__buffers__') {
    for (const name of stringsOf(value)) owner.buffers.push(name);
  } else if (target.name !== '__annotations__' && target.name !== '__constants__') {
    const shown = value === undefined ? undefined : printExpression(value);
    owner.attributes.push({ name: target.name, type, value: shown });
  }
}

function stringsOf(value: Expression | undefined): string[] {
  const items = value?.kind === 'sequence' ? value.items : [];
  return items.flatMap((item) => (item.kind === 'literal' ? [unquoted(item.text)] : []));
}

/** The characters of a printed string; the printer escapes as C does. */
export function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(x[\da-f]{2}|[0-7]{1,3}|.)/gi, (_, code: string) => {
    if (/^x./i.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    return { n: '\n', t: '\t', r: '\r' }[code] ?? code;
  });
}
