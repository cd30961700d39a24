/** What every example promises through examples/lib.sh: however it ends, nothing is left. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { type ExampleOptions, runExample } from './example.ts';

const LIB = fileURLToPath(new URL('../../examples/lib.sh', import.meta.url));
const MAKE_MODEL = fileURLToPath(new URL('../../examples/quick-demo/make-mlp.mjs', import.meta.url));

/** A mount in use, a program in the background, and then `ending`. */
async function runScript(t: TestContext, ending: string, options: ExampleOptions): Promise<string> {
  const script = join(await temporaryDirectory(t), 'run.sh');
  await writeFile(
    script,
    `set -euo pipefail
source '${LIB}'
node '${MAKE_MODEL}' 'a model.pt'
mkdir 'a mount'
mlfs mount 'a model.pt' 'a mount'
background tail.log tail -f 'a mount/logs/fuse.log'
${ending}
`,
  );
  return runExample(t, script, options);
}

test('an example that ends, ends with its programs and its mounts', requires('fuse'), async (t) => {
  await runScript(t, 'say done', {});
});

test('an example that fails says why, and leaves nothing', requires('fuse'), async (t) => {
  const output = await runScript(t, 'fail "the bias is still 0"', { exitCode: 1 });
  assert.match(output, /^this did not work: the bias is still 0$/m);
});

test(
  'an example whose command fails ends with its exit code, and leaves nothing',
  requires('fuse'),
  async (t) => {
    await runScript(t, 'show "exit 7"', { exitCode: 7 });
  },
);

test('an example that waits in vain says for what', requires('fuse'), async (t) => {
  const output = await runScript(t, 'WAIT_SECONDS=1 wait_for "the answer" test -e answer', { exitCode: 1 });
  assert.match(output, /^this did not work: the answer did not come$/m);
});

test('an example that is interrupted leaves nothing', requires('fuse'), async (t) => {
  await runScript(t, 'say waiting; wait_for "nothing" test -e nothing', {
    exitCode: 143,
    meanwhile: async ({ pid, printed }) => {
      await printed('# waiting');
      process.kill(pid, 'SIGTERM');
    },
  });
});

test('what an example leaves behind is seen, and removed', requires('fuse'), async (t) => {
  const folder = await temporaryDirectory(t);
  const left = {
    files: 'touch "$TMPDIR/left"',
    processes: 'setsid sleep 600 >/dev/null 2>&1 </dev/null &',
    mounts: `source '${LIB}'; node '${MAKE_MODEL}' m.pt; mkdir mnt; mlfs mount m.pt mnt; trap - EXIT`,
  };
  for (const [what, script] of Object.entries(left)) {
    const path = join(folder, `${what}.sh`);
    await writeFile(path, `${script}\n`);
    await assert.rejects(runExample(t, path), /(files|processes) of .* are left/, what);
  }
});
