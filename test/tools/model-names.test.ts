/** One tensor, one name: what a mount shows, what the commands print and what they take are the same names and counts. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathOfTensorName } from '../../src/tree/path-names.ts';
import { type ModelKind, readModelKinds } from '../support/model-kinds.ts';
import { output } from '../support/run.ts';
import { runMlfs } from '../support/run-mlfs.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';

const KINDS = readModelKinds();

function kind(name: string): ModelKind {
  const found = KINDS.find((one) => one.name === name);
  assert.ok(found, name);
  return found;
}

async function mlfs(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await runMlfs(words);
  assert.equal(code, 0, stderr.toString());
  return stdout.toString();
}

async function listed(path: string, ...more: string[]): Promise<string[]> {
  return JSON.parse(await mlfs('ls', '--json', path, ...more)).map(({ name }: { name: string }) => name);
}

const hashes = (path: string) =>
  output('bash', [
    '-c',
    'cd "$1" && find . -name "*.bin" -print0 | sort -z | xargs -0r sha256sum',
    'bash',
    path,
  ]);

for (const transport of TRANSPORTS) {
  describe(`mounted by ${transport}`, mountable(transport), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    for (const { name, path, model } of KINDS) {
      test(`/model of ${name} has the tensors that torch has, by their names`, async () => {
        const { path: mountpoint, summary } = await server.mount(path, { transport, readOnly: true });
        const found = (await hashes(join(mountpoint, 'model'))).trim().split('\n').sort();
        const expected = Object.entries(model).map(([tensor, sha256]) => {
          const file = pathOfTensorName(tensor).join('/');
          return `${sha256}  ./${file}.bin`;
        });
        // sha256sum escapes nothing of these names; sort(1) and JavaScript order them differently.
        assert.deepEqual(found, expected.sort());
        const status = JSON.parse(await readFile(join(mountpoint, 'sys/status.json'), 'utf8'));
        const info = JSON.parse(await mlfs('info', '--json', path));
        const metrics = await readFile(join(mountpoint, 'sys/metrics'), 'utf8');
        const counted = /^mlfs_tensors (\d+)$/m.exec(metrics)?.[1];
        assert.deepEqual(
          [summary.tensors, status.tensors, Number(counted)],
          [info.tensors, info.tensors, info.tensors],
        );
        await server.unmount(mountpoint);
      });
    }
  });
}

test('ls has the names of the model first, each once', async () => {
  const { path, model, others } = kind('training.pt');
  const names = await listed(path);
  assert.deepEqual(names, [...Object.keys(model), ...Object.keys(others ?? {})]);
  assert.equal(new Set(names).size, names.length);
});

test('cat and ls take a name of the model, its full path, and the full path of another tensor', async () => {
  const { path } = kind('training.pt');
  const [short, full] = [
    await mlfs('cat', path, 'fc.weight'),
    await mlfs('cat', path, 'state_dict.fc.weight'),
  ];
  assert.equal(short, full);
  assert.equal(short.length > 0, true);
  assert.deepEqual(await listed(path, 'fc'), ['fc.weight']);
  assert.deepEqual(await listed(path, 'state_dict.fc'), ['fc.weight']);
  assert.deepEqual(await listed(path, 'state_dict'), ['fc.weight', 'optimizer.x']);
  assert.deepEqual(await listed(path, 'optimizer.state'), ['optimizer.state.0.exp_avg']);
  // Another tensor is not below the model.
  assert.equal((await runMlfs(['cat', path, 'state_dict.optimizer.state.0.exp_avg'])).code, 1);
  // Both are reached: the model's tensor, and the one whose full path is the same.
  assert.notEqual(await mlfs('cat', path, 'optimizer.x'), await mlfs('cat', path, 'optimizer.x~2'));
});

test('info counts tensors and not names, and says what is not in the model and which names were changed', async () => {
  const lstm = JSON.parse(await mlfs('info', '--json', kind('lstm.pt').path));
  assert.deepEqual([lstm.tensors, lstm.tied], [4, 0]);
  const text = await mlfs('info', kind('module.pt').path);
  assert.match(text, /belong to the model and are not in it/);
  assert.match(text, /^ {2}cache: a buffer that is not persistent$/m);
  assert.match(text, /^ {2}plain: an attribute that is not part of the state dict$/m);
  assert.match(await mlfs('info', kind('training.pt').path), /without ~2, ~3, …:\n {2}optimizer\.x~2$/m);
});

test('verify names a tensor as ls does', async () => {
  const { path, model } = kind('dtensor-wrapped.pt');
  const { entries } = JSON.parse(await mlfs('verify', '--json', path));
  const named = new Set(entries.flatMap(({ tensors }: { tensors: string[] }) => tensors));
  for (const name of Object.keys(model)) assert.ok(named.has(name), name);
});

test('a training checkpoint and its bare state dict have the same tensors to diff', async () => {
  const { code, stdout } = await runMlfs([
    'diff',
    '--json',
    kind('dtensor-wrapped.pt').path,
    kind('dtensor.pt').path,
  ]);
  const differences = stdout
    .toString()
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).path);
  assert.ok(code === 0 || code === 1);
  assert.deepEqual(
    differences.filter((path: string) => path.startsWith('model/')),
    [],
  );
});
