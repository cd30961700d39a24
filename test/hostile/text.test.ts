/** What a checkpoint says is data on a terminal, too: every command, every text of a mount, every message. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openCheckpoint } from '../../src/index.ts';
import { assertClean, assertExplained, forbidden } from '../support/clean-text.ts';
import { eventually } from '../support/cli-scene.ts';
import type { CommandRun } from '../support/command-lines.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { spawnMlfs } from '../support/run-mlfs.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import {
  evil,
  evilModule,
  evilPickle,
  evilProgram,
  evilSafetensors,
  evilScript,
  evilStateDict,
  evilStorages,
  oneLine,
  refusedFiles,
} from './evil-checkpoints.ts';

const run = promisify(execFile);
const COMMAND_LINES = fileURLToPath(new URL('../support/command-lines.ts', import.meta.url));

const CHECKPOINTS: Readonly<Record<string, (folder: string) => Promise<string>>> = {
  'a state dict': evilStateDict,
  'a module': evilModule,
  'storages with names': evilStorages,
  safetensors: evilSafetensors,
  TorchScript: evilScript,
  'an exported program': evilProgram,
};

/** A folder that is evil itself. */
async function evilFolder(t: TestContext): Promise<string> {
  const folder = join(await temporaryDirectory(t), evil('folder'));
  await mkdir(folder);
  return folder;
}

async function commandLines(lines: readonly (readonly string[])[]): Promise<CommandRun[]> {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), COMMAND_LINES], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(lines));
  const runs = JSON.parse(await textOf(child.stdout)) as CommandRun[];
  assert.equal(runs.length, lines.length);
  return runs;
}

const bytesOf = (base64: string) => Buffer.from(base64, 'base64');

/** A name's line break makes no line: what follows it in `evil` begins none. */
function assertOneLineEach(text: string, what: string): void {
  assert.doesNotMatch(text, /^\s*\\t\\x08/m, `${what}: a name goes on in the next line`);
}

/** Nothing hidden on either stream, except a tensor's bytes. */
function assertCleanRun({ args, stdout, stderr }: CommandRun): void {
  const what = `mlfs ${args[0]}`;
  if (args[0] !== 'cat') assertClean(bytesOf(stdout), `${what}: stdout`);
  assertClean(bytesOf(stderr), `${what}: stderr`);
  for (const said of [stdout, stderr]) assertOneLineEach(bytesOf(said).toString(), what);
  if (args.includes('--json')) {
    const printed = bytesOf(stdout).toString();
    if (printed !== '') assert.doesNotThrow(() => JSON.parse(printed.split('\n}\n{')[0] ?? ''), what);
  }
}

for (const [kind, make] of Object.entries(CHECKPOINTS)) {
  test(`commands that read a checkpoint print nothing hidden: ${kind}`, async (t) => {
    const folder = await evilFolder(t);
    const path = await make(folder);
    const seal = join(folder, evil('seal'));
    const runs = await commandLines([
      ['info', path],
      ['info', '--json', path],
      ['ls', path],
      ['ls', '-l', path],
      ['ls', '--json', path],
      ['ls', path, evil('no such prefix')],
      ['cat', path, evil('no such name')],
      ['verify', path],
      ['verify', '--json', path],
      ['seal', path],
      ['seal', '-o', seal, path],
      ['verify', '--seal', seal, path],
      ['verify', '--seal', seal, '--json', path],
      ['diff', path, path],
      ['check', '--finite', path],
      ['check', '--finite', '--json', path],
    ]);
    for (const one of runs) assertCleanRun(one);
    // The commands did what they are for.
    assert.deepEqual(
      runs.map(({ code }) => code),
      [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      runs.map(({ stderr }) => bytesOf(stderr)).join(''),
    );
    await using checkpoint = await openCheckpoint(path);
    const listed = JSON.parse(bytesOf(runs[4]?.stdout ?? '').toString()) as { name: string }[];
    assert.deepEqual(
      listed.map(({ name }) => name),
      checkpoint.tensors.map(({ name }) => name),
      'JSON parses back to the very same names',
    );
    assertClean(await readFile(seal), 'the seal');
  });
}

test('commands about edits, and words that are no commands, print nothing hidden', async (t) => {
  const folder = await evilFolder(t);
  const path = await evilStateDict(folder);
  const other = await evilStateDict(folder, evil('other'));
  const nowhere = join(folder, evil('nowhere'));
  const runs = await commandLines([
    ['status', path],
    ['status', '--json', path],
    ['commit', path],
    ['commit', '--dry-run', '--json', path],
    ['commit', path, '--to', join(nowhere, 'x.pt')],
    ['commit', path, '--to', other],
    ['discard', path],
    ['discard', '--json', path],
    ['flush', path],
    ['reload', nowhere],
    ['umount', nowhere],
    ['umount', folder],
    ['serve', nowhere, '--worker', evil('worker')],
    ['mount', path, nowhere],
    ['mount', nowhere, folder],
    ['mount', path, folder, '-o', evil('option')],
    ['mount', path, folder, '--metrics', evil('address')],
    ['mount', path, folder, '--cache-size', evil('size')],
    ['mount', path, folder, '--state-dict', evil('key')],
    ['diff', path, nowhere],
    ['diff', path, other],
    ['verify', path, '--seal', path],
    ['info', nowhere],
    ['info', folder],
    [evil('command')],
    [`--${evil('option')}`],
    ['ls', path, 'a', evil('too many')],
  ]);
  for (const one of runs) assertCleanRun(one);
});

for (const [what, bytes] of Object.entries(refusedFiles())) {
  test(`a refusal is short, and on one line: ${what}`, async (t) => {
    const path = join(await evilFolder(t), `${evil('refused')}.pt`);
    await writeFile(path, bytes);
    await assert.rejects(openCheckpoint(path), (error) => {
      assertExplained(error);
      assert.equal(error.exitCode, 3, error.message);
      assert.equal(error.path, path, 'the path is the path');
      return true;
    });
  });
}

test('a refusal is printed in one line, with one of advice', async (t) => {
  const folder = await evilFolder(t);
  const paths: string[] = [];
  for (const [index, bytes] of Object.values(refusedFiles()).entries()) {
    paths.push(join(folder, `${evil(`refused${index}`)}.pt`));
    await writeFile(paths.at(-1) ?? '', bytes);
  }
  for (const shown of await commandLines(paths.map((path) => ['info', path]))) {
    assertCleanRun(shown);
    assert.equal(shown.code, 3);
    const stderr = bytesOf(shown.stderr).toString();
    assert.match(stderr, /^mlfs: [^\n]{1,2048}\n( {2}try: [^\n]{1,1024}\n)?$/);
  }
});

test('the writer that makes these files writes what it is given', () => {
  assert.ok(evilPickle().includes(Buffer.from('\u202e')));
});

test('a progress bar does not pass on the names of entries', async (t) => {
  const path = await evilStateDict(await evilFolder(t));
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const drive = fileURLToPath(new URL('../support/drive-terminal.py', import.meta.url));
  const words = [process.execPath, '--import', import.meta.resolve('tsx'), main, 'verify', path];
  const { stdout } = await run(DEBIAN_PYTHON, [drive, '[]', ...words]);
  assert.match(stdout, /every CRC-32 is right/);
  // The bar itself moves the cursor.
  for (const character of ['\x07', '\u009b', '\u202e', '\u200b', '\u{e0041}', '\x1b[31m', '\x1b]'])
    assert.equal(stdout.includes(character), false, JSON.stringify(character));
});

interface Found {
  readonly path: string;
  readonly bytes: Buffer;
}

/** Names and texts of a mount; not the bytes of tensors, nor the archive's own code, which SEMANTICS.md promises byte for byte. */
async function textsOf(mountpoint: string): Promise<Found[]> {
  const found: Found[] = [];
  const visit = async (folder: string, relative: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'utf8' })) {
      const path = `${relative}/${entry.name}`;
      assertClean(entry.name, `a name in ${JSON.stringify(relative)}`);
      assert.equal(entry.name.includes('\n'), false, JSON.stringify(entry.name));
      if (entry.isDirectory()) await visit(join(folder, entry.name), path);
      else if (
        /^\/(sys|logs|views\/(json|txt|csv)|ir|checkpoint|rpc)\//.test(path) &&
        !/^\/ir\/code\/|^\/sys\/control$|\.(bin|grad|npy)$/.test(path)
      ) {
        found.push({ path, bytes: await readFile(join(folder, entry.name)) });
      }
    }
  };
  await visit(mountpoint, '');
  return found;
}

for (const transport of TRANSPORTS) {
  describe(`${transport}:`, mountable(transport, 'dot', 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    for (const [kind, make] of Object.entries(CHECKPOINTS)) {
      test(`every name and every text of a mount is clean: ${kind}`, async (t) => {
        const path = await make(await evilFolder(t));
        const { path: mountpoint } = await server.mount(path, { transport, logLevel: 'debug' });
        await appendFile(
          join(mountpoint, 'logs/fuse.log'),
          Buffer.concat([Buffer.from(oneLine('a user')), Buffer.from([0xff, 0xc2, 0x9b, 0x0a])]),
        );
        await assert.rejects(
          writeFile(join(mountpoint, 'sys/control'), `commit --to ${oneLine('relative')}\n`, { flag: 'r+' }),
        );
        const texts = await textsOf(mountpoint);
        for (const { path: name, bytes } of texts) {
          assertClean(bytes, name);
          assertOneLineEach(bytes.toString(), name);
          if (name.endsWith('.json')) JSON.parse(bytes.toString());
        }
        const names = texts.map(({ path: name }) => name);
        for (const name of [
          'sys/model_str',
          'sys/banner',
          'sys/checkpoint.json',
          'sys/status.json',
          'sys/metrics',
          'logs/fuse.log',
          'ir/module_tree.txt',
        ])
          assert.ok(names.includes(`/${name}`), name);
        assert.ok(names.some((name) => name.startsWith('/views/json/')));
        const read = (name: string) =>
          texts.find(({ path: found }) => found === name)?.bytes.toString() ?? '';
        assert.match(read('/logs/fuse.log'), /^a user\\x1b\[31m.*\\ufffd/m);
        const { last_failure: failure } = JSON.parse(read('/sys/status.json'));
        assert.ok(failure.command.includes('\u202e'), 'JSON has the very same text');
        await using checkpoint = await openCheckpoint(path);
        const listed = JSON.parse(read('/sys/tensors.json')) as { name: string }[];
        for (const { name } of checkpoint.tensors)
          assert.ok(
            listed.some((one) => one.name === name || one.name.endsWith(name)),
            JSON.stringify(name),
          );
        for (const { path: name } of texts.filter(({ path: found }) => found.endsWith('.dot')))
          await run('dot', ['-Tsvg', join(mountpoint, name)], { maxBuffer: 64 * 1024 * 1024 });
        await server.unmount(mountpoint);
      });
    }

    test('commands about a mount print nothing hidden', async (t) => {
      const folder = await evilFolder(t);
      const path = await evilStateDict(folder);
      const mountpoint = join(folder, evil('mount'));
      await mkdir(mountpoint);
      t.after(() => run('umount', ['-l', mountpoint]).catch(() => undefined));
      const weight = 'model/plain/weight.bin';
      const first = await commandLines([['mount', '--transport', transport, path, mountpoint]]);
      await writeFile(join(mountpoint, weight), Buffer.alloc(8, 1));
      const runs = await commandLines([
        ['status', mountpoint],
        ['status', '--json', path],
        ['diff', path, mountpoint],
        ['diff', '--json', path, mountpoint],
        ['check', '--grads', '--finite', mountpoint],
        ['seal', mountpoint],
        ['ls', path],
        ['flush', mountpoint],
        ['flush', '--json', mountpoint],
        ['mount', '--transport', transport, path, mountpoint],
        ['commit', '--dry-run', mountpoint],
        ['commit', mountpoint, '--to', join(folder, evil('new.pt'))],
        ['commit', '--json', mountpoint],
        ['discard', mountpoint],
        ['reload', mountpoint],
        ['reload', '--json', mountpoint],
        ['umount', mountpoint],
        ['mount', '--json', '--read-only', '--transport', transport, path, mountpoint],
        ['umount', mountpoint],
      ]);
      for (const one of [...first, ...runs]) assertCleanRun(one);
      assert.deepEqual(
        runs.map(({ code }) => code),
        [0, 0, 1, 1, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        runs.map(({ stderr }) => bytesOf(stderr)).join(''),
      );
    });

    test('what a worker prints, and what it answers, is escaped and cut', async (t) => {
      const folder = await temporaryDirectory(t);
      const path = await evilStateDict(folder);
      const worker = join(folder, 'worker.py');
      const said = JSON.stringify(evil('worker'));
      await writeFile(
        worker,
        `import json, sys
evil = json.loads(${JSON.stringify(said)})
print(evil.replace('\\n', ''), 'y' * 10000, flush=True)
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({'id': request['id'], 'ok': False, 'error': evil}), flush=True)
`,
      );
      let child: ChildProcess | undefined;
      let printed = Buffer.alloc(0);
      // The worker's side ends before the mount does.
      t.after(async () => {
        if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
        child.kill('SIGINT');
        await once(child, 'exit');
      });
      const { path: mountpoint } = await server.mount(path, { transport });
      child = spawnMlfs(['serve', mountpoint, '--worker', `${DEBIAN_PYTHON} ${worker}`]);
      child.stderr?.on('data', (chunk: Buffer) => {
        printed = Buffer.concat([printed, chunk]);
      });
      await eventually('it serves', async () => printed.includes('is served'));
      const call = join(mountpoint, 'rpc', 'one');
      await mkdir(call);
      await writeFile(join(call, 'input.txt'), 'x');
      await assert.rejects(readFile(join(call, 'output.txt')), { code: 'EIO' });
      const error = await readFile(join(call, 'error'), 'utf8');
      assertClean(error, '/rpc error');
      assert.match(error, /^worker\\x1b\[31m/);
      assertClean(await readFile(join(mountpoint, 'logs/fuse.log')), 'the log');
      await eventually('the call is reported', async () => printed.includes('failed: '));
      child.kill('SIGINT');
      await once(child, 'exit');
      assertClean(printed, 'mlfs serve');
      for (const line of printed.toString().split('\n'))
        assert.ok(Buffer.byteLength(line) <= 2048, `a line of ${line.length}`);
      await server.unmount(mountpoint);
    });
  });
}

test('the check itself finds what it is to find', () => {
  for (const character of evil('')
    .slice(0, -5)
    .replace('\n', '')
    .replaceAll(/[[\]31m0;title\u00a0\u0378]/g, ''))
    assert.notEqual(forbidden(character), undefined, JSON.stringify(character));
});
