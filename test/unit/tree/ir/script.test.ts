/** The parser of TorchScript's printed Python: what it understands, and that nothing makes it fail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Declarations, readDeclarations } from '../../../../src/tree/ir/script/declarations.ts';
import { parseExpression } from '../../../../src/tree/ir/script/expressions.ts';
import { logicalLines } from '../../../../src/tree/ir/script/logical-lines.ts';
import { printExpression } from '../../../../src/tree/ir/script/print-expression.ts';
import { Unparsed } from '../../../../src/tree/ir/script/tokens.ts';
import { scriptDot } from '../../../../src/tree/ir/script-dot.ts';
import { scriptJson } from '../../../../src/tree/ir/script-json.ts';
import { readProgram } from '../../../../src/tree/ir/script-program.ts';
import { scriptText } from '../../../../src/tree/ir/script-text.ts';
import { parseDot } from './plain-dot.ts';

function declared(text: string, name = '__torch__.py'): Declarations {
  const into: Declarations = { classes: [], functions: [], kept: 0 };
  readDeclarations({ name, text }, into);
  return into;
}

function graphText(text: string): string {
  return scriptText(readProgram({ name: 'x.pt', files: [{ name: '__torch__.py', text }], modules: [] }));
}

/** The lines of one method's graph. */
function nodesOf(text: string, method: string): string[] {
  const lines = graphText(text).split('\n');
  const start = lines.findIndex((line) => line.startsWith(`def ${method}(`));
  assert.notEqual(start, -1, `no ${method}`);
  const end = lines.indexOf('', start);
  return lines.slice(start + 1, end === -1 ? lines.length : end);
}

const print = (text: string) => printExpression(parseExpression(text));

test("expressions are read with Python's precedence, and print as they mean", () => {
  for (const same of [
    'torch.conv2d(x, w, None, [1, 1])',
    'f(x, dtype=None, device=torch.device("cpu"))',
    '{"logits": y0, "n": 1}',
    'Dict[str, List[Tensor]]',
    '(a,)',
    '()',
    'x[0, :, 1:2]',
    '-1.5e-05',
    'a if b else c',
    'not a',
    '"a \\" b # ( ["',
    'Tuple[int, ...]',
  ]) {
    assert.equal(print(same), same);
  }
  assert.equal(print('1 + 2 * 3'), '1 + (2 * 3)');
  assert.equal(print('(1 + 2) * 3'), '(1 + 2) * 3');
  assert.equal(print('2 ** 3 ** 4'), '2 ** (3 ** 4)');
  assert.equal(print('a not in b and c is not d'), '(a not in b) and (c is not d)');
  assert.equal(print('(stem).forward(x, )'), 'stem.forward(x)');
});

test('what is no expression says so, and deep nesting too', () => {
  for (const wrong of ['', '1 +', 'f(', ')', 'a b', '?', '"open', 'lambda x: x', '{1: 2, 3}']) {
    assert.throws(() => parseExpression(wrong), Unparsed, wrong);
  }
  for (const deep of [
    '('.repeat(50_000),
    `${'-'.repeat(50_000)}1`,
    `x${'.y'.repeat(50_000)}`,
    `x${' + y'.repeat(50_000)}`,
    `x${'()'.repeat(50_000)}`,
    `${'x ** '.repeat(50_000)}x`,
    `${'a if b else '.repeat(50_000)}c`,
    'not '.repeat(50_000),
    '[['.repeat(9000),
  ]) {
    assert.throws(() => parseExpression(deep), Unparsed);
  }
});

test('a line goes on while a bracket is open, strings and comments do not count', () => {
  const source = 'def f(a: int,\n    b: str) -> int:\n  x = "(["  # (\n\n  return [a,\n   1]\n';
  assert.deepEqual(
    [...logicalLines(source)].map(({ line, indent, text }) => [line, indent, text]),
    [
      [1, 0, 'def f(a: int, b: str) -> int:'],
      [3, 2, 'x = "(["'],
      [5, 2, 'return [a, 1]'],
    ],
  );
});

test('classes have attributes, constants, parameters and buffers, also those with names Python cannot spell', () => {
  const { classes, kept } = declared(`class Net(Module):
  __parameters__ = ["w", ]
  __buffers__ = ["running", ]
  __annotations__ = []
  w : Tensor
  running : Tensor
  eps : Final[float] = 1e-05
  __annotations__["0"] = __torch__.Block
  def forward(self: __torch__.Net,
    x: Tensor,
    n: int=3) -> Tuple[Tensor, int]:
    return (x, n)
class Point(NamedTuple):
  x : int
`);
  assert.equal(kept, 0);
  const [net, point] = classes;
  assert.deepEqual([net?.qualified, net?.base, net?.line], ['__torch__.Net', 'Module', 1]);
  assert.deepEqual([net?.parameters, net?.buffers], [['w'], ['running']]);
  assert.deepEqual(
    net?.attributes.map(({ name, type, value }) => [name, type, value]),
    [
      ['w', 'Tensor', undefined],
      ['running', 'Tensor', undefined],
      ['eps', 'Final[float]', '1e-05'],
      ['0', '__torch__.Block', undefined],
    ],
  );
  const [forward] = net?.methods ?? [];
  assert.equal(forward?.qualified, '__torch__.Net.forward');
  assert.equal(forward?.returns, 'Tuple[Tensor, int]');
  assert.deepEqual(forward?.parameters[2], { name: 'n', type: 'int', value: '3' });
  assert.equal(point?.base, 'NamedTuple');
});

const CALLS = `class Net(Module):
  conv : __torch__.Conv
  __annotations__["0"] = __torch__.Conv
  scale : Tensor
  def forward(self: __torch__.Net,
    x: Tensor) -> Tensor:
    _0 = __torch__.helper
    conv = self.conv
    _1 = getattr(self, "0")
    a, b, = (_1).pair((conv).forward(x, ), )
    c = _0(a, self.scale, )
    self.scale = torch.relu(torch.add(c, b))
    d = annotate(Optional[int], None)
    return c
class Conv(Module):
  def forward(self: __torch__.Conv,
    x: Tensor) -> Tensor:
    return torch.neg(x)
  def pair(self: __torch__.Conv,
    x: Tensor) -> Tuple[Tensor, int]:
    return (x, 1)
def helper(x: Tensor,
    y: Tensor) -> Tensor:
  return ops.quantized.add(x, y)
`;

test('calls are nodes: of submodules, functions and operators, with what they reach and the declared types', () => {
  assert.deepEqual(nodesOf(CALLS, '__torch__.Net.forward'), [
    '  %0 = self.conv.forward(x) : Tensor    -> __torch__.Conv.forward',
    '  a, b = self.0.pair(%0) : Tuple[Tensor, int]    -> __torch__.Conv.pair',
    '  c = __torch__.helper(a, self.scale) : Tensor    -> __torch__.helper',
    '  %1 = torch.add(c, b)',
    '  %2 = torch.relu(%1)',
    '  self.scale = %2 : Tensor',
    '  d = annotate(Optional[int], None) : Optional[int]',
    '  return c',
  ]);
  const { graphs } = JSON.parse(
    scriptJson(readProgram({ name: 'x', files: [{ name: '__torch__.py', text: CALLS }], modules: [] })),
  );
  const [forward] = graphs;
  const pair = forward.nodes.findIndex((node: { target: string }) => node.target === 'pair');
  const inner = forward.nodes[pair].sources;
  assert.equal(forward.nodes[inner[0]].submodule, 'conv');
  const add = forward.nodes.find((node: { target: string }) => node.target === 'torch.add');
  assert.deepEqual(
    add.sources.map((source: number) => forward.nodes[source].target),
    ['__torch__.helper', 'pair'],
  );
});

test('a value that both branches assign comes from both; one that is assigned again from the last', () => {
  const { graphs } = JSON.parse(
    scriptJson(
      readProgram({
        name: 'x',
        files: [
          {
            name: '__torch__.py',
            text: `def f(x: Tensor, flag: bool) -> Tensor:
  a = torch.one(x)
  a = torch.two(x)
  if flag:
    y = torch.three(a)
  else:
    y = torch.four(a)
  return torch.five(y, a)
`,
          },
        ],
        modules: [],
      }),
    ),
  );
  const { nodes } = graphs[0];
  const five = nodes.find((node: { target: string }) => node.target === 'torch.five');
  assert.deepEqual(
    five.sources.map((source: number) => nodes[source].target),
    ['torch.three', 'torch.four', 'torch.two'],
  );
});

test('a construct that is not known stays as text, and what is around it is read', () => {
  const nodes = nodesOf(
    `def f(x: Tensor) -> Tensor:
  y = torch.relu(x)
  z = lambda q: q
  async with thing() as t, other:
    pass
  match y:
  return torch.neg(y)
`,
    '__torch__.f',
  );
  assert.deepEqual(nodes, [
    '  y = torch.relu(x)',
    '  z = lambda q: q',
    '  async with thing() as t, other:',
    '  match y:',
    '  %0 = torch.neg(y)',
    '  return %0',
  ]);
});

test('the oldest files have functions that are no methods, and types left out', () => {
  const nodes = nodesOf(
    `op_version_set = 0
def forward(self,
    x: Tensor) -> Tensor:
  result = torch.select(x, 0, 0)
  for i in range(torch.size(x, 0)):
    if bool(i):
      result = torch.mul(result, x)
    else:
      pass
  return result
`,
    '__torch__.forward',
  );
  assert.deepEqual(nodes, [
    '  result = torch.select(x, 0, 0)',
    '  %0 = torch.size(x, 0)',
    '  %1 = range(%0)',
    '  for i in %1',
    '    %2 = bool(i)',
    '    if %2',
    '      result = torch.mul(result, x)',
    '    else',
    '  return result',
  ]);
});

test('whatever the text is, there are three documents', () => {
  let seed = 7;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const words = [
    ...'()[]{}:,.="\\\n\n  #@-*',
    'class ',
    'def ',
    'return ',
    'if ',
    'self',
    'x',
    '1',
    '\n  ',
    '\n    ',
    'é',
    '\0',
  ];
  for (let round = 0; round < 300; round++) {
    // Half of the time real code with holes, otherwise noise.
    let text = Array.from({ length: random(200) }, () => words[random(words.length)]).join('');
    if (round % 2 === 0) {
      const at = random(CALLS.length);
      text = CALLS.slice(0, at) + text.slice(0, 8) + CALLS.slice(at + random(20));
    }
    const program = readProgram({
      name: text.slice(0, 20),
      files: [{ name: '__torch__.py', text }],
      modules: [{ path: '', className: '__torch__.Net' }],
    });
    scriptText(program);
    JSON.parse(scriptJson(program));
    parseDot(scriptDot(program));
  }
});
