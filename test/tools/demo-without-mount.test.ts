/** `mlfs demo` on machines that cannot mount, which it is shown by hiding things from it: it succeeds and ends with the command that helps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runInMountNamespace } from '../support/mount-namespace.ts';
import { requires } from '../support/requires.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const DEMO = ['--import', 'tsx', 'src/cli/main.ts', 'demo'];
const NEEDS = requires('root', 'unshare', 'fuse', 'addon', 'fuse-native');

const HIDE_DEVICE = `
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
`;
const HIDE_ADDON = 'mount -t tmpfs tmpfs native/build';
const HIDE_FUSE_NATIVE = 'mount -t tmpfs tmpfs node_modules/fuse-native';

async function demo(prepare: string): Promise<string> {
  const { code, stdout, stderr } = await runInMountNamespace(prepare, process.execPath, DEMO, {
    cwd: PROJECT,
  });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /fc1\.weight starts with 0\.0186, 0\.0201/, 'the library is shown');
  return stdout;
}

function lastCommand(text: string): string | undefined {
  return /\n {2}\$ (.*)\n$/.exec(text)?.[1];
}

test(
  'without /dev/fuse the demo shows the library and ends with the command that makes the device',
  NEEDS,
  async () => {
    const shown = await demo(HIDE_DEVICE);
    assert.match(shown, /Mounting does not work on this machine/);
    assert.equal(lastCommand(shown), 'mknod -m 666 /dev/fuse c 10 229');
  },
);

test('the command that makes the device is right: after it, the demo mounts', NEEDS, async () => {
  const shown = await demo(`${HIDE_DEVICE}\nmknod -m 666 /dev/fuse c 10 229`);
  assert.match(shown, /committed 4 bytes and 2 checksums/);
});

test('without /dev/fuse and without the addon it is the same', NEEDS, async () => {
  const shown = await demo(`${HIDE_DEVICE}\n${HIDE_ADDON}`);
  assert.equal(lastCommand(shown), 'mknod -m 666 /dev/fuse c 10 229');
});

test('without any transport the demo ends with the command that builds the addon', NEEDS, async () => {
  const shown = await demo(`${HIDE_ADDON}\n${HIDE_FUSE_NATIVE}`);
  assert.match(shown, /Mounting does not work on this machine/);
  assert.match(lastCommand(shown) ?? '', /npm --prefix \S+ run install$/);
});

test('without a transport and a compiler that command installs the compiler first', NEEDS, async () => {
  const shown = await demo(`${HIDE_ADDON}\n${HIDE_FUSE_NATIVE}\nPATH=/nothing`);
  assert.match(
    lastCommand(shown) ?? '',
    /^apt-get update && apt-get install -y g\+\+ make python3 && npm --prefix \S+ run install$/,
  );
});

test('where root may not mount the demo ends with how to start the container', {
  ...NEEDS,
  ...requires('setpriv'),
}, async () => {
  const { code, stdout } = await runInMountNamespace(
    '',
    'setpriv',
    ['--bounding-set=-sys_admin', '--inh-caps=-sys_admin', process.execPath, ...DEMO],
    { cwd: PROJECT },
  );
  assert.equal(code, 0, stdout);
  assert.match(lastCommand(stdout) ?? '', /^docker run --device \/dev\/fuse --cap-add SYS_ADMIN /);
});

test(
  'without the addon the demo mounts through fuse-native, from the binaries that it ships',
  NEEDS,
  async () => {
    const shown = await demo(
      `${HIDE_ADDON}\n[ ! -d node_modules/fuse-native/build ] || mount -t tmpfs tmpfs node_modules/fuse-native/build`,
    );
    assert.match(shown, /Mounted \(fuse-native transport\)/);
    assert.match(shown, /every CRC-32 is right/);
  },
);
