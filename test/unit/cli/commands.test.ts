import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PyDict, PyGlobal, PyObject, PyTuple } from '../../../src/checkpoint/pickle/values.ts';
import { tensorToWrite, writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { MLFS, runMlfs, spawnMlfs } from '../../support/run-mlfs.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const WEIGHT = Buffer.from(Float32Array.from({ length: 6 }, (_, index) => index).buffer);

async function checkpoint(t: TestContext): Promise<string> {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(path, {
    tensors: [
      { name: 'layers.1.weight', dtype: 'float32', shape: [2, 3], fill: WEIGHT },
      { name: 'layers.10.weight', dtype: 'float32', shape: [3, 2], fill: WEIGHT },
      { name: 'big', dtype: 'uint8', shape: [3 << 20], fill: 'sparse-zeros' },
    ],
  });
  return path;
}

test('ls lists tensors, a module of them, and JSON', async (t) => {
  const path = await checkpoint(t);
  const all = await runMlfs(['ls', path]);
  assert.equal(all.code, 0);
  assert.match(
    all.stdout.toString(),
    /^name +dtype +shape +bytes\nlayers\.1\.weight +float32 +\[2, 3\] +24\n/,
  );
  const json = await runMlfs(['ls', '--json', path, 'layers.1']);
  const rows = JSON.parse(json.stdout.toString()) as { name: string; nbytes: number; file_offset: number }[];
  assert.deepEqual(
    rows.map(({ name, nbytes }) => [name, nbytes]),
    [['layers.1.weight', 24]],
  );
  assert.equal((rows[0]?.file_offset ?? -1) % 64, 0);
  const none = await runMlfs(['ls', path, 'nothing']);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /^mlfs: .*nothing\n {2}try: mlfs ls /);
});

test('cat writes the exact bytes, of a large tensor in bounded pieces', async (t) => {
  const path = await checkpoint(t);
  assert.deepEqual((await runMlfs(['cat', path, 'layers.1.weight'])).stdout, WEIGHT);
  const big = await runMlfs(['cat', path, 'big']);
  assert.equal(big.stdout.length, 3 << 20);
  const missing = await runMlfs(['cat', path, 'no.such']);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /has no tensor "no\.such"/);
});

test('cat ends quietly when its reader goes', async (t) => {
  const child = spawnMlfs(['cat', await checkpoint(t), 'big']);
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk;
  });
  await once(child.stdout, 'readable');
  child.stdout.destroy();
  const [code] = await once(child, 'close');
  assert.equal(complaint, '');
  assert.equal(code, 0);
});

/** Runs `mlfs …` in a shell; `script` runs it as "$@". */
function inShell(script: string, args: readonly string[], env: Record<string, string> = {}) {
  const { status, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', script, 'bash', ...MLFS, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { code: status, stderr };
}

test('a closed pipe drops the output and leaves the exit code', async (t) => {
  const [before, after] = [await checkpoint(t), await checkpoint(t)];
  await writeTorchZip(after, {
    tensors: [{ name: 'other', dtype: 'float32', shape: [2, 3], fill: WEIGHT }],
  });
  const headless = '"$@" | true';
  assert.deepEqual(inShell(headless, ['diff', before, after]), { code: 1, stderr: '' });
  assert.deepEqual(inShell(headless, ['diff', before, before]), { code: 0, stderr: '' });
  assert.deepEqual(inShell(headless, ['ls', before]), { code: 0, stderr: '' });
  assert.deepEqual(inShell(headless, ['--help']), { code: 0, stderr: '' });
});

test('output that cannot be written is one line, and exit code 1', async (t) => {
  const path = await checkpoint(t);
  const noSpace = { code: 1, stderr: 'mlfs: stdout: no space left on device\n' };
  for (const args of [['ls', path], ['cat', path, 'big'], ['diff', path, path], ['--help'], ['ls', '--help']])
    assert.deepEqual(inShell('"$@" > /dev/full', args), noSpace, args.join(' '));
  // The kernel writes the first kilobyte, and no error comes before the next write.
  const output = join(await temporaryDirectory(t), 'output');
  assert.deepEqual(inShell('ulimit -f 1; "$@" > "$OUTPUT"', ['--help'], { OUTPUT: output }), {
    code: 1,
    stderr: 'mlfs: stdout: file too large\n',
  });
});

test('a path of a mount in place of a name is answered with the name', async (t) => {
  const path = await checkpoint(t);
  for (const [command, given, advice] of [
    ['ls', 'layers/1', `ls ${path} layers.1`],
    ['ls', 'model/layers/1/weight.bin', `ls ${path} layers.1.weight`],
    ['ls', 'no/such', `ls ${path}`],
    ['cat', 'model/layers/1/weight.bin', `cat ${path} layers.1.weight`],
    ['cat', 'layers/1', `ls ${path} layers.1`],
    ['cat', 'no/such', `ls ${path}`],
  ] as const) {
    const { code, stderr } = await runMlfs([command, path, given]);
    assert.equal(code, 1);
    assert.ok(stderr.endsWith(`\n  try: mlfs ${advice}\n`), `${command} ${given}: ${stderr}`);
  }
});

test('a command that does not exist is named, and a file in its place is to be mounted', async (t) => {
  const path = await checkpoint(t);
  const help = await runMlfs(['help', 'nope']);
  assert.deepEqual([help.code, help.stderr], [2, "mlfs: unknown command 'nope'\n  try: mlfs --help\n"]);
  assert.equal((await runMlfs(['help', 'ls'])).code, 0);
  const mount = await runMlfs([path, 'm0', '--read-only']);
  const advice = `  try: mlfs mount ${path} m0 --read-only\n`;
  assert.deepEqual([mount.code, mount.stderr], [2, `mlfs: unknown command '${path}'\n${advice}`]);
});

test('info says which part is the model, and no own classes of a script', async () => {
  const fixture = (name: string) =>
    fileURLToPath(new URL(`../../fixtures/torch-2.13/${name}`, import.meta.url));
  const training = await runMlfs(['info', fixture('checkpoint.pt')]);
  assert.match(String(training.stdout), /^model +\S+: \d+ of the \d+ tensors$/m);
  const script = await runMlfs(['info', fixture('scripted.pt')]);
  assert.doesNotMatch(String(script.stdout), /__torch__|would:|^model/m);
  assert.match(String(script.stdout), /^format +torchscript$/m);
});

test('info names what a pickle mentions and MLFS does not know', async (t) => {
  const path = join(await temporaryDirectory(t), 'odd.pt');
  const root = new PyDict();
  root.set('w', tensorToWrite('float32', [2, 3], WEIGHT));
  root.set('evil', new PyObject(new PyGlobal('os', 'system'), new PyTuple(['touch /tmp/never'])));
  await writeTorchZip(path, { root });
  const text = await runMlfs(['info', path]);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout.toString(), /os\.system/);
  assert.match(text.stdout.toString(), /None was imported or called/);
  const json = JSON.parse((await runMlfs(['info', '--json', path])).stdout.toString());
  assert.deepEqual(json.unknown_globals, ['os.system']);
  assert.equal(json.tensor_bytes, 24);
});

test('info names what the safetensors export cannot hold', async (t) => {
  const path = join(await temporaryDirectory(t), 'model.pt');
  await writeTorchZip(path, {
    tensors: [
      { name: 'w', dtype: 'float32', shape: [2, 3], fill: WEIGHT },
      { name: 'z', dtype: 'complex128', shape: [1], fill: WEIGHT.subarray(0, 16) },
    ],
  });
  const text = (await runMlfs(['info', path])).stdout.toString();
  assert.match(
    text,
    /export\/model\.safetensors of a mount cannot hold them:\n {2}z: safetensors has no dtype complex128\n/,
  );
  const json = JSON.parse((await runMlfs(['info', '--json', path])).stdout.toString());
  assert.deepEqual(json.not_in_export, [{ name: 'z', reason: 'safetensors has no dtype complex128' }]);
});

test('verify says that all is well, or which tensor is bad with exit code 3', async (t) => {
  const path = join(await temporaryDirectory(t), 'model.pt');
  const { storages } = await writeTorchZip(path, {
    tensors: [{ name: 'fc.weight', dtype: 'float32', shape: [2, 3], fill: WEIGHT }],
  });
  const good = await runMlfs(['verify', path]);
  assert.equal(good.code, 0);
  assert.match(good.stdout.toString(), /every CRC-32 is right/);

  const { open } = await import('node:fs/promises');
  const handle = await open(path, 'r+');
  await handle.write(Buffer.from([0xff]), 0, 1, storages.get('0')?.offset ?? 0);
  await handle.close();
  const bad = await runMlfs(['verify', path]);
  assert.equal(bad.code, 3);
  assert.match(bad.stdout.toString(), /fc\.weight: .*CRC-32 is 0x/);
  const json = JSON.parse((await runMlfs(['verify', '--json', path])).stdout.toString());
  assert.equal(json.ok, false);
});

test('a file that is no checkpoint is exit code 3, one that is not there 1, a wrong word 2', async (t) => {
  const path = join(await temporaryDirectory(t), 'not.pt');
  await writeFile(path, 'PK\x03\x04 nothing of the kind');
  const malformed = await runMlfs(['info', path]);
  assert.equal(malformed.code, 3);
  assert.match(malformed.stderr, /^mlfs: /);
  assert.ok(malformed.stderr.trimEnd().split('\n').length <= 2, malformed.stderr);
  assert.equal((await runMlfs(['ls', `${path}.missing`])).code, 1);
  for (const args of [[], ['nonsense'], ['ls'], ['ls', path, '--bogus'], ['mount', path]]) {
    const wrong = await runMlfs(args);
    assert.equal(wrong.code, 2, `mlfs ${args.join(' ')}`);
  }
  const option = await runMlfs(['mount', '-o', 'rw,bogus', path, '/']);
  assert.equal(option.code, 2);
});

test('--version and every --help succeed, each help with an example', async () => {
  assert.match((await runMlfs(['--version'])).stdout.toString(), /^mlfs \d+\.\d+\.\d+\n$/);
  const { stdout } = await runMlfs(['--help']);
  const [listed = ''] = /^Commands:$.*?^$/ms.exec(stdout.toString()) ?? [];
  const names = [...listed.matchAll(/^ {2}([a-z]+)/gm)].map(([, name = '']) => name);
  const commands = names.filter((name) => name !== 'help');
  assert.ok(commands.length >= 18, commands.join(' '));
  for (const command of commands) {
    const help = await runMlfs([command, '--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout.toString(), /Examples?:\n {2}mlfs /, command);
  }
});

test('MLFS_DEBUG shows where an error came from', async () => {
  const plain = await runMlfs(['ls', '/nonexistent.pt']);
  assert.doesNotMatch(plain.stderr, / at /);
  const debug = await runMlfs(['ls', '/nonexistent.pt'], { MLFS_DEBUG: '1' });
  assert.match(debug.stderr, /\n {4}at .*file-source/);
});
