/** One line of a method's body. A line that is not understood is a statement of kind `text`. */
import { type Expression, ExpressionReader } from './expressions.ts';
import { printExpression } from './print-expression.ts';
import { Unparsed } from './tokens.ts';

export type Statement =
  | {
      readonly kind: 'assign';
      readonly targets: readonly Expression[];
      /** The type of an annotated assignment. */
      readonly type: string | undefined;
      readonly value: Expression;
    }
  | { readonly kind: 'expression'; readonly value: Expression }
  /** return, raise, assert, del. */
  | { readonly kind: 'leave'; readonly word: string; readonly value: Expression | undefined }
  /** The beginning of a block: if, elif, else, while, for, with. `bound` are the names that it assigns. */
  | {
      readonly kind: 'block';
      readonly word: string;
      readonly bound: readonly Expression[];
      readonly value: Expression | undefined;
    }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'text'; readonly text: string };

const LEAVE = new Set(['return', 'raise', 'assert', 'del']);
const BLOCK = new Set(['if', 'elif', 'else', 'while', 'for', 'with', 'try', 'except', 'finally']);
const NOTHING = new Set(['pass', 'break', 'continue', 'import', 'from', 'global', 'nonlocal']);

export function parseStatement(text: string): Statement {
  try {
    return statement(text);
  } catch (cause) {
    if (!(cause instanceof Unparsed)) throw cause;
    return { kind: 'text', text };
  }
}

function statement(text: string): Statement {
  const word = /^[a-z]+(?![\w.([=])/.exec(text)?.[0] ?? '';
  const rest = text.slice(word.length);
  // `return(x)` and `if(x):` look like calls, but are keywords in Python.
  const tight = /^(return|if|elif|while|assert)(?=\()/.exec(text)?.[0];
  if (tight !== undefined) return statement(`${tight} ${text.slice(tight.length)}`);
  if (LEAVE.has(word)) return { kind: 'leave', word, value: rest.trim() === '' ? undefined : whole(rest) };
  if (BLOCK.has(word)) return block(word, rest);
  if (NOTHING.has(word)) {
    return word === 'pass' || word === 'import' ? { kind: 'nothing' } : { kind: 'text', text };
  }
  const reader = new ExpressionReader(text);
  const parts = [reader.expressions()];
  let type: string | undefined;
  if (reader.take(':')) type = printExpression(reader.expressions());
  while (reader.take('=')) parts.push(reader.expressions());
  reader.end();
  const value = parts.pop() as Expression;
  if (parts.length === 0) {
    return type === undefined ? { kind: 'expression', value } : { kind: 'nothing' };
  }
  return { kind: 'assign', targets: parts.flatMap(targetsOf), type, value };
}

function whole(text: string): Expression {
  const reader = new ExpressionReader(text);
  const value = reader.expressions();
  reader.end();
  return value;
}

function block(word: string, rest: string): Statement {
  if (!rest.endsWith(':')) throw new Unparsed('a colon expected');
  const reader = new ExpressionReader(rest.slice(0, -1));
  if (reader.next.kind === 'end') return { kind: 'block', word, bound: [], value: undefined };
  const bound: Expression[] = [];
  if (word === 'for') {
    do bound.push({ kind: 'name', name: reader.name() });
    while (reader.take(','));
    reader.expect('in');
  }
  const value = reader.expressions();
  if (reader.take('as')) bound.push({ kind: 'name', name: reader.name() });
  reader.end();
  return { kind: 'block', word, bound, value };
}

function targetsOf(target: Expression): readonly Expression[] {
  return target.kind === 'sequence' ? target.items.flatMap(targetsOf) : [target];
}
