/**
 * Sizes that may change, as torch.export writes them: sympy's `srepr`. `Mul(Integer(2), Symbol('s77', positive=True, integer=True))` is shown
 * as `2*s77`; anything unknown is shown unchanged.
 */

import { unquoted } from './script/declarations.ts';
import { type Expression, parseExpression } from './script/expressions.ts';
import { printExpression } from './script/print-expression.ts';
import { Unparsed } from './script/tokens.ts';

const JOINED: Readonly<Record<string, string>> = { Mul: '*', Add: ' + ', Pow: '**' };

export function symbolicSize(text: string): string {
  try {
    return printExpression(parseExpression(text), shortened);
  } catch (cause) {
    if (!(cause instanceof Unparsed)) throw cause;
    return text;
  }
}

function shortened(part: Expression): string | undefined {
  if (part.kind !== 'call' || part.of.kind !== 'name') return undefined;
  const values = part.args.filter(({ name }) => name === undefined).map(({ value }) => value);
  const [first] = values;
  if (part.of.name === 'Symbol' && first?.kind === 'literal') return unquoted(first.text);
  if (part.of.name === 'Integer' && first?.kind === 'literal') return first.text;
  const operator = Object.hasOwn(JOINED, part.of.name) ? JOINED[part.of.name] : undefined;
  if (operator === undefined || values.length < 2) return undefined;
  const shown = values.map((value) => printExpression(value, shortened));
  return shown.map((one) => (operator !== ' + ' && one.includes(' ') ? `(${one})` : one)).join(operator);
}
