/** mount(8), /etc/fstab and systemd mount by running `mlfs SOURCE DIRECTORY -o …` through mount.fuse3. */
import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scene } from '../support/cli-scene.ts';
import { requires } from '../support/requires.ts';
import { run } from '../support/run.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const DOCUMENT = fileURLToPath(new URL('../../docs/MOUNTING.md', import.meta.url));

/**
 * Runs shell lines as root in a mount namespace of their own, where `mlfs` lies in one of the folders that mount.fuse3's shell looks into. What
 * they mount ends with the namespace and its servers.
 */
async function inNamespace(
  t: TestContext,
  script: (at: { checkpoint: string; mountpoint: string }) => string,
) {
  const { folder, checkpoint, mountpoint } = await scene(t);
  const programs = join(folder, 'programs');
  await mkdir(programs);
  const mlfs = join(programs, 'mlfs');
  await writeFile(mlfs, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(mlfs, 0o755);
  const lines = `set -e
trap 'umount "${mountpoint}" 2>/dev/null || true' EXIT
mount --bind '${programs}' /usr/local/sbin
${script({ checkpoint, mountpoint })}`;
  const file = join(folder, 'script.sh');
  await writeFile(file, lines);
  return run('unshare', ['-m', '--propagation', 'private', 'sh', file]);
}

const needs = requires('fuse', 'unshare', 'mount.fuse3');

test('mount -t fuse.mlfs mounts, with every option that it hands on', needs, async (t) => {
  const outcome = await inNamespace(
    t,
    ({ checkpoint, mountpoint }) => `
mount -t fuse.mlfs '${checkpoint}' '${mountpoint}' -o ro,nofail,_netdev,x-systemd.automount,user=nobody,cache_size=64M,follow
test -e '${mountpoint}/model/fc/weight.bin'
grep '"follow": true' '${mountpoint}/sys/status.json'
grep ' ${mountpoint} fuse.mlfs ro,' /proc/self/mounts
umount '${mountpoint}'`,
  );
  assert.equal(outcome.code, 0, outcome.stderr);
});

test('a line of fstab mounts, as the document has it', needs, async (t) => {
  const line = /^\/\S+ +\/\S+ +fuse\.mlfs .*$/m.exec(await readFile(DOCUMENT, 'utf8'))?.[0];
  assert.ok(line !== undefined, 'docs/MOUNTING.md has an example');
  const [, , ...rest] = line.split(/ +/);
  const outcome = await inNamespace(
    t,
    ({ checkpoint, mountpoint }) => `
echo '${[checkpoint, mountpoint, ...rest].join(' ')}' > '${mountpoint}.fstab'
mount -T '${mountpoint}.fstab' '${mountpoint}'
test -e '${mountpoint}/model/fc/weight.bin'
umount '${mountpoint}'
sed -i 's/noauto,//' '${mountpoint}.fstab'
mount -a -T '${mountpoint}.fstab'
test -e '${mountpoint}/model/fc/weight.bin'
umount '${mountpoint}'`,
  );
  assert.equal(outcome.code, 0, outcome.stderr);
});

test('an option that nothing knows is named, with exit code 2, and nothing is mounted', needs, async (t) => {
  const outcome = await inNamespace(
    t,
    ({ checkpoint, mountpoint }) => `
code=0; mount -t fuse.mlfs '${checkpoint}' '${mountpoint}' -o ro,reconnect || code=$?
test $code = 2
if grep ' ${mountpoint} ' /proc/self/mounts; then exit 9; fi`,
  );
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.match(outcome.stderr, /-o reconnect: unknown option/);
});
