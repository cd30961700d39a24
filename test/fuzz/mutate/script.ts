/** Mutations of TorchScript's printed code, by lines and tokens: declarations, types, expressions, blocks. */
import type { Random } from '../random.ts';
import { mutateBytes, TEXTS } from './bytes.ts';

const TOKENS = [
  ...[
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '=',
    '.',
    '->',
    '"',
    "'",
    '\\',
    '#',
    '*',
    '-',
    '@',
    ';',
    '\t',
    '    ',
  ],
  ...[
    'def ',
    'class ',
    'return ',
    'if ',
    'else:',
    'for ',
    'while ',
    'in ',
    'pass',
    'import ',
    'not ',
    'lambda x: x',
    'uninitialized(',
    'annotate(',
    'self',
    'None',
    'True',
    '__torch__.',
    'torch.',
    'ops.prim.',
    'CONSTANTS.c0',
    'List[',
    'Optional[Tensor]',
    '_0',
    '1e999',
    '-9223372036854775808',
    '1j',
    '"\\ud800"',
    '...',
  ],
];

export function mutateScript(random: Random, code: string): string {
  let changed = code;
  for (let left = random.pick([1, 1, 2, 4]); left > 0; left--) changed = changedOnce(random, changed);
  return changed;
}

function changedOnce(random: Random, code: string): string {
  const lines = code.split('\n');
  const at = random.below(lines.length);
  const line = lines[at] ?? '';
  switch (random.below(12)) {
    case 0:
      return lines.toSpliced(at, 1).join('\n');
    case 1:
      return lines
        .toSpliced(random.below(lines.length), 0, ...lines.slice(at, at + random.between(1, 10)))
        .join('\n');
    case 2:
      return lines.with(at, `${' '.repeat(random.below(9))}${line.trim()}`).join('\n');
    case 3:
      return lines.with(at, lines[random.below(lines.length)] ?? '').join('\n');
    case 4:
      return lines.with(at, nested(random, line)).join('\n');
    case 5:
      return lines
        .with(at, line.replaceAll(random.pick(['(', ')', ':', ',', '.', 'self']), random.pick(TOKENS)))
        .join('\n');
    case 6:
      return lines
        .with(at, `${line}${random.pick(['', ' '])}${lines[at + 1] ?? ''}`)
        .toSpliced(at + 1, 1)
        .join('\n');
    case 7:
      return mutateBytes(random, Buffer.from(code)).toString('utf8');
    default: {
      const words = line.split(/\b/);
      const word = random.below(words.length);
      const by = random.pick([...TOKENS, ...TEXTS, random.pick(words)]);
      return lines.with(at, words.toSpliced(word, random.below(3), by).join('')).join('\n');
    }
  }
}

function nested(random: Random, line: string): string {
  const depth = random.pick([10, 200, 400, 20_000]);
  const [open, close] = random.pick<[string, string]>([
    ['(', ')'],
    ['[', ']'],
    ['torch.neg(', ')'],
    ['List[', ']'],
    ['-', ''],
    ['x.', ''],
  ]);
  const value = `${open.repeat(depth)}x${close.repeat(random.once(4) ? depth - 1 : depth)}`;
  return random.once(2)
    ? line.replace(/=.*$|\(.*$/, `= ${value}`)
    : `${line.slice(0, line.search(/\S|$/))}_1 = ${value}`;
}
