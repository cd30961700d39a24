/** Expressions of printed Python, by precedence climbing. Anything else throws Unparsed. */
import { type Token, tokensOf, Unparsed } from './tokens.ts';

export type Expression =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'call'; readonly of: Expression; readonly args: readonly Argument[] }
  | { readonly kind: 'subscript'; readonly of: Expression; readonly items: readonly Expression[] }
  | { readonly kind: 'sequence'; readonly open: '(' | '[' | '{'; readonly items: readonly Expression[] }
  | { readonly kind: 'pairs'; readonly items: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'operator'; readonly operator: string; readonly operands: readonly Expression[] };

export interface Argument {
  readonly name: string | undefined;
  readonly value: Expression;
}

/** Real code has a depth of about ten. The links of a chain (`a.b.c`, `a + b + c`) count, because they nest, too. */
const MAX_DEPTH = 300;

const BINARY: Readonly<Record<string, number>> = {
  or: 2,
  and: 3,
  in: 5,
  'not in': 5,
  is: 5,
  'is not': 5,
  '==': 5,
  '!=': 5,
  '<': 5,
  '>': 5,
  '<=': 5,
  '>=': 5,
  '|': 6,
  '^': 7,
  '&': 8,
  '<<': 9,
  '>>': 9,
  '+': 10,
  '-': 10,
  '*': 11,
  '/': 11,
  '//': 11,
  '%': 11,
  '@': 11,
  '**': 13,
};
const NOT = 4;
const UNARY = 12;

const CLOSING = { '(': ')', '[': ']', '{': '}' } as const;

/** Reads tokens from left to right; the parser of statements uses the same object. */
export class ExpressionReader {
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#tokens = tokensOf(text);
  }

  get next(): Token {
    return this.#tokens[this.#at] as Token;
  }

  /** Whether the next token is this one; if so, it is consumed. */
  take(text: string): boolean {
    const token = this.next;
    if (token.kind === 'string' || token.kind === 'end' || token.text !== text) return false;
    this.#at++;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) throw new Unparsed(`${text} expected, not ${this.next.text}`);
  }

  name(): string {
    const token = this.next;
    if (token.kind !== 'name') throw new Unparsed(`a name expected, not ${token.text}`);
    this.#at++;
    return token.text;
  }

  end(): void {
    if (this.next.kind !== 'end') throw new Unparsed(`${this.next.text} left over`);
  }

  /** Several expressions with commas are a tuple. */
  expressions(): Expression {
    const first = this.expression();
    if (this.next.text !== ',') return first;
    const items = [first];
    while (this.take(',')) {
      if (this.next.kind === 'end' || ['=', ':', ')'].includes(this.next.text)) break;
      items.push(this.expression());
    }
    return { kind: 'sequence', open: '(', items };
  }

  expression(): Expression {
    this.#deeper();
    const value = this.#binary(0);
    let result = value;
    if (this.take('if')) {
      const condition = this.#binary(0);
      this.expect('else');
      result = { kind: 'operator', operator: 'if', operands: [value, condition, this.expression()] };
    }
    this.#depth--;
    return result;
  }

  #binary(lowest: number): Expression {
    const depth = this.#depth;
    let left = this.#unary();
    for (;;) {
      const operator = this.#operator();
      const precedence = BINARY[operator] ?? -1;
      if (operator === '' || precedence <= lowest) {
        this.#depth = depth;
        return left;
      }
      this.#deeper();
      for (const word of operator.split(' ')) this.expect(word);
      // Powers are right-associative.
      const right = this.#binary(operator === '**' ? precedence - 1 : precedence);
      left = { kind: 'operator', operator, operands: [left, right] };
    }
  }

  #operator(): string {
    const { kind, text } = this.next;
    if (kind !== 'symbol' && kind !== 'name') return '';
    const after = this.#tokens[this.#at + 1]?.text;
    if (text === 'not') return after === 'in' ? 'not in' : '';
    if (text === 'is' && after === 'not') return 'is not';
    return Object.hasOwn(BINARY, text) ? text : '';
  }

  #unary(): Expression {
    const { text, kind } = this.next;
    const prefix = kind === 'symbol' && ['-', '+', '~', '*', '**'].includes(text);
    if (!prefix && !(kind === 'name' && text === 'not')) return this.#postfix();
    this.#deeper();
    this.expect(text);
    const operand = this.#binary(text === 'not' ? NOT : UNARY - 1);
    this.#depth--;
    if (text === '-' && operand.kind === 'literal') return { kind: 'literal', text: `-${operand.text}` };
    return { kind: 'operator', operator: text, operands: [operand] };
  }

  #postfix(): Expression {
    const depth = this.#depth;
    let value = this.#primary();
    for (;;) {
      this.#deeper();
      if (this.take('.')) value = { kind: 'attribute', of: value, name: this.name() };
      else if (this.take('(')) value = { kind: 'call', of: value, args: this.#arguments() };
      else if (this.take('[')) value = { kind: 'subscript', of: value, items: this.#subscripts() };
      else break;
    }
    this.#depth = depth;
    return value;
  }

  #deeper(): void {
    if (++this.#depth > MAX_DEPTH) throw new Unparsed('nested too deep');
  }

  #primary(): Expression {
    const token = this.next;
    if (token.kind === 'number' || token.kind === 'string') {
      this.#at++;
      return { kind: 'literal', text: token.text };
    }
    if (token.kind === 'name') {
      this.#at++;
      return { kind: 'name', name: token.text };
    }
    for (const open of ['(', '[', '{'] as const) if (this.take(open)) return this.#bracketed(open);
    throw new Unparsed(`a value expected, not ${token.text}`);
  }

  #bracketed(open: '(' | '[' | '{'): Expression {
    const items: Expression[] = [];
    const pairs: [Expression, Expression][] = [];
    let commas = 0;
    while (!this.take(CLOSING[open])) {
      const item = this.expression();
      if (open === '{' && this.take(':')) pairs.push([item, this.expression()]);
      else items.push(item);
      if (this.take(',')) commas++;
      else if (this.next.text !== CLOSING[open]) throw new Unparsed(`${CLOSING[open]} expected`);
    }
    if (open === '{' && items.length === 0) return { kind: 'pairs', items: pairs };
    if (pairs.length > 0) throw new Unparsed('half a dict');
    const [only] = items;
    if (open === '(' && commas === 0 && only !== undefined) return only;
    return { kind: 'sequence', open, items };
  }

  #arguments(): Argument[] {
    const args: Argument[] = [];
    while (!this.take(')')) {
      const named = this.next.kind === 'name' && this.#tokens[this.#at + 1]?.text === '=';
      const name = named ? this.name() : undefined;
      if (named) this.expect('=');
      args.push({ name, value: this.expression() });
      if (!this.take(',') && this.next.text !== ')') throw new Unparsed(') expected');
    }
    return args;
  }

  #subscripts(): Expression[] {
    const items: Expression[] = [];
    while (!this.take(']')) {
      items.push(this.#slice());
      if (!this.take(',') && this.next.text !== ']') throw new Unparsed('] expected');
    }
    return items;
  }

  #slice(): Expression {
    const parts: Expression[] = [];
    const part = (): void => {
      const empty = [':', ',', ']'].includes(this.next.text) && this.next.kind === 'symbol';
      parts.push(empty ? { kind: 'literal', text: '' } : this.expression());
    };
    if (this.next.text === '.' && this.#tokens[this.#at + 1]?.text === '.') {
      for (let dot = 0; dot < 3; dot++) this.expect('.');
      return { kind: 'literal', text: '...' };
    }
    part();
    while (this.take(':')) part();
    const [only] = parts;
    return parts.length === 1 && only !== undefined
      ? only
      : { kind: 'operator', operator: ':', operands: parts };
  }
}

/** The whole text as one expression. */
export function parseExpression(text: string): Expression {
  const reader = new ExpressionReader(text);
  const value = reader.expressions();
  reader.end();
  return value;
}
