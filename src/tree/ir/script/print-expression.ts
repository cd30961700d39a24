import type { Expression } from './expressions.ts';

/** The text of a value that was printed elsewhere; undefined if there is none. */
export type Known = (expression: Expression) => string | undefined;

/** An expression as text; parts that `known` knows are replaced by its text. */
export function printExpression(expression: Expression, known: Known = () => undefined): string {
  const print = (part: Expression): string => known(part) ?? printPart(part, print);
  return print(expression);
}

function printPart(part: Expression, print: (part: Expression) => string): string {
  switch (part.kind) {
    case 'name':
      return part.name;
    case 'literal':
      return part.text;
    case 'attribute':
      return `${operand(part.of, print)}.${part.name}`;
    case 'call':
      return `${operand(part.of, print)}(${part.args
        .map(({ name, value }) => (name === undefined ? print(value) : `${name}=${print(value)}`))
        .join(', ')})`;
    case 'subscript':
      return `${operand(part.of, print)}[${part.items.map(print).join(', ')}]`;
    case 'sequence': {
      const items = part.items.map(print).join(', ');
      if (part.open === '(') return part.items.length === 1 ? `(${items},)` : `(${items})`;
      return part.open === '[' ? `[${items}]` : `{${items}}`;
    }
    case 'pairs':
      return `{${part.items.map(([key, value]) => `${print(key)}: ${print(value)}`).join(', ')}}`;
    case 'operator':
      return printOperator(part.operator, part.operands, print);
  }
}

function printOperator(
  operator: string,
  operands: readonly Expression[],
  print: (part: Expression) => string,
): string {
  const parts = operands.map((part) => (operator === ':' ? print(part) : operand(part, print)));
  if (operator === ':') return parts.join(':');
  if (operator === 'if') return `${parts[0]} if ${parts[1]} else ${parts[2]}`;
  if (parts.length === 1) return operator === 'not' ? `not ${parts[0]}` : `${operator}${parts[0]}`;
  return parts.join(` ${operator} `);
}

function operand(part: Expression, print: (part: Expression) => string): string {
  const text = print(part);
  return part.kind === 'operator' && text !== '' ? `(${text})` : text;
}
