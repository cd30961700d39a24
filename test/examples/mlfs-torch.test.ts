/** examples/python/mlfs_torch.py at a real mount. PYTHON of another torch: MLFS_TORCH_PYTHON. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEBIAN_PYTHON, requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { mountable, Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const CASES = fileURLToPath(new URL('./attached.py', import.meta.url));
const MODULE = fileURLToPath(new URL('../../examples/python/mlfs_torch.py', import.meta.url));
const PYTHON = process.env.MLFS_TORCH_PYTHON ?? DEBIAN_PYTHON;
const NEEDS = mountable('kernel', 'python3-torch', 'python3-numpy');

async function python(name: string, ...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await output(PYTHON, [CASES, name, ...args]));
}

/** A mount of the model that the cases know. */
async function mountNet(t: TestContext): Promise<string> {
  const server = await Server.start();
  t.after(() => server.stop());
  const checkpoint = join(await temporaryDirectory(t), 'net.pt');
  await python('make', checkpoint);
  return (await server.mount(checkpoint, { transport: 'kernel' })).path;
}

test('outputs and gradients of a step are files, of layers that work in place too', NEEDS, async (t) => {
  assert.deepEqual(await python('dumps', await mountNet(t)), {
    names: [
      'conv.grad.npy',
      'conv.npy',
      'head.grad.npy',
      'head.npy',
      'norm.grad.npy',
      'norm.npy',
      'relu.grad.npy',
      'relu.npy',
    ],
    equal: { conv: true, norm: true, relu: true, head: true },
    grad_shapes: {
      'conv.grad.npy': [2, 4, 4],
      'head.grad.npy': [2, 2],
      'norm.grad.npy': [2, 4, 4],
      'relu.grad.npy': [2, 4, 4],
    },
    head: true,
    norm: true,
    gradients: {
      'conv.weight': true,
      'conv.bias': true,
      'norm.weight': true,
      'norm.bias': true,
      'head.weight': true,
      'head.bias': true,
      'unused.weight': 'none',
      'unused.bias': 'none',
    },
    after_detach: true,
  });
});

test('an edited file reaches the model at its next forward pass, until it is detached', NEEDS, async (t) => {
  assert.deepEqual(await python('reload', await mountNet(t)), {
    names: ['head.bias', 'norm.running_mean'],
    changed: ['norm.running_mean', 'head.bias'],
    bias: [1.5, -2.5],
    mean: 7,
    leaf: true,
  });
});

test('push writes what the model holds, and the watcher does not take it for an edit', NEEDS, async (t) => {
  assert.deepEqual(await python('push', await mountNet(t)), { file: [3, 3], reloads: 0 });
});

test('several outputs, repeated calls and left-out passes have names of their own', NEEDS, async (t) => {
  assert.deepEqual(await python('outputs', await mountNet(t)), {
    names: [
      'inner.0.npy',
      'pair#a%2Fb.npy',
      'pair#list#0.npy',
      'pair#list#1#0.npy',
      'pair@2#a%2Fb.npy',
      'pair@2#list#0.npy',
      'pair@2#list#1#0.npy',
    ],
    same: true,
    later: true,
    selected: ['Twice.npy', 'inner.npy'],
  });
});

test('errors of the mount are one warning of each kind, and the training goes on', NEEDS, async (t) => {
  const { gone, other, joined } = await python('trouble', await mountNet(t));
  assert.deepEqual(gone, ['parameters, No such file or directory', 'activations, No such file or directory']);
  assert.deepEqual(other, ['dtypes and shapes']);
  assert.ok(Array.isArray(joined) && joined.includes('norm.weight') && joined.includes('conv.bias'));
  assert.ok(!joined.includes('head.bias') && !joined.includes('conv.weight'));
});

test(
  'numpy reads every dtype that save_npy writes',
  requires('python3-torch', 'python3-numpy'),
  async (t) => {
    const { types, aligned, left } = (await python('dtypes', await temporaryDirectory(t))) as {
      types: Record<string, string>;
      aligned: number;
      left: string[];
    };
    assert.equal(types.bfloat16, '<u2');
    assert.equal(types.float16, '<f2');
    assert.equal(types.bool, '|b1');
    assert.equal(types.complex64, '<c8');
    assert.equal(aligned, 0);
    assert.deepEqual(left, []);
  },
);

test('the module needs nothing but torch and the standard library', async () => {
  const imports = [...(await readFile(MODULE, 'utf8')).matchAll(/^(?:import|from) (\w+)/gm)].map(
    ([, name]) => name,
  );
  assert.deepEqual(imports, ['ctypes', 'json', 'os', 'threading', 'time', 'warnings', 'torch']);
});
