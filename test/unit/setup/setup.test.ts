/** setup/setup.sh with stand-ins for the programs that install something: they note how they were called. */
import assert from 'node:assert/strict';
import { chmod, cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../../support/requires.ts';
import { run } from '../../support/run.ts';
import { runAsSecondUser, sharedDirectory } from '../../support/second-user.ts';

const SETUP = fileURLToPath(new URL('../../../setup', import.meta.url));
/** What the script runs and what it looks for; nothing else is on its PATH. */
const PROGRAMS = ['bash', 'dirname', 'env', 'g++', 'id', 'make', 'mktemp', 'python3', 'rm', 'tail'];
const ROOT = requires('root', 'g++', 'python3');

interface Machine {
  readonly installed: boolean;
  readonly sudo?: boolean;
  readonly aptFails?: boolean;
}

/** Runs the script on such a machine, with a Debian package as its argument. */
async function setUp(t: TestContext, machine: Machine, user: 'root' | 'second user') {
  const folder = await sharedDirectory(t);
  const calls = join(folder, 'calls');
  await writeFile(calls, '');
  await chmod(calls, 0o666);
  const note = `echo "\${0##*/} $*" >>${calls}`;
  const programs = {
    'dpkg-query': machine.installed ? 'printf installed' : 'exit 1',
    'apt-get': `${note}\n${machine.aptFails ? 'echo no such archive >&2; exit 100' : ''}`,
    npm: note,
    fusermount3: '',
    ...(machine.sudo ? { sudo: `${note}\nexec "$@"` } : {}),
  };
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(join(folder, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    await chmod(join(folder, name), 0o755);
  }
  for (const name of PROGRAMS) await symlink(join('/usr/bin', name), join(folder, name));
  await symlink(process.execPath, join(folder, 'node'));
  // The second user may not be able to reach the project.
  const clone = join(folder, 'clone');
  await cp(SETUP, join(clone, 'setup'), { recursive: true });
  await writeFile(join(clone, 'package-lock.json'), '{ "packages": {} }');
  const start = user === 'root' ? run : runAsSecondUser;
  const { code, stdout, stderr } = await start('/bin/bash', [join(clone, 'setup/setup.sh'), 'a-package'], {
    env: { PATH: folder, TMPDIR: '/tmp' },
  });
  const called = (await readFile(calls, 'utf8')).trim().split('\n');
  return { code, stdout, stderr, called };
}

const BUILD = 'npm run --silent build';
const INSTALL = 'apt-get install -qq -y --no-install-recommends a-package';

test('when everything is there, setup installs nothing', ROOT, async (t) => {
  const { code, called, stdout } = await setUp(t, { installed: true }, 'root');
  assert.equal(code, 0);
  assert.deepEqual(called, [BUILD]);
  assert.equal(stdout, '');
});

test('root installs Debian packages without sudo', ROOT, async (t) => {
  const { code, called } = await setUp(t, { installed: false, sudo: true }, 'root');
  assert.equal(code, 0);
  assert.deepEqual(called, ['apt-get update -qq', INSTALL, BUILD]);
});

test('another user installs them with sudo, and is told so', ROOT, async (t) => {
  const { code, called, stdout } = await setUp(t, { installed: false, sudo: true }, 'second user');
  assert.equal(code, 0);
  assert.deepEqual(
    called.filter((call) => !call.startsWith('sudo')),
    ['apt-get update -qq', INSTALL, BUILD],
  );
  assert.equal(called[0], 'sudo apt-get update -qq');
  assert.match(stdout, /a-package.* as root: sudo may ask for your password/);
});

test('without root and sudo setup names what it cannot install, and goes on', ROOT, async (t) => {
  const { code, called, stdout } = await setUp(t, { installed: false }, 'second user');
  assert.equal(code, 0);
  assert.deepEqual(called, [BUILD]);
  assert.match(stdout, /cannot install a-package: that needs root or sudo/);
});

test('when apt-get fails setup shows why, and goes on', ROOT, async (t) => {
  const { code, called, stdout, stderr } = await setUp(t, { installed: false, aptFails: true }, 'root');
  assert.equal(code, 0);
  assert.equal(called.at(-1), BUILD);
  assert.match(stderr, /no such archive/);
  assert.match(stdout, /could not install a-package/);
});
