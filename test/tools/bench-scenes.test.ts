/** The scenes of `npm run bench:large` and `npm run bench:quiet`, with small models. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const NEEDS = requires('fuse', 'addon', 'cc');
const TIMEOUT_MS = 5 * 60_000;

/** Runs a scene and returns the cells of the rows of its table. */
async function scene(t: TestContext, name: string, ...options: readonly string[]): Promise<string[][]> {
  const scratch = await temporaryDirectory(t);
  const script = fileURLToPath(new URL(`../../bench/${name}.ts`, import.meta.url));
  const args = ['--import', import.meta.resolve('tsx'), script, ...options];
  const printed = await output(process.execPath, args, {
    env: { ...process.env, TMPDIR: scratch },
    timeoutMs: TIMEOUT_MS,
  });
  const left = (await readdir(scratch)).filter((file) => file.startsWith('mlfs-bench-'));
  assert.deepEqual(left, [], 'neither checkpoints nor mount points are left');
  assert.ok(!(await readFile('/proc/self/mounts', 'utf8')).includes(scratch), 'nothing stays mounted');
  return printed
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map((cells) => cells.slice(1, -1));
}

for (const format of ['pt', 'safetensors']) {
  test(
    `the scene of the large model walks it and reads its far end to the byte: ${format}`,
    NEEDS,
    async (t) => {
      const rows = await scene(t, 'large', '--format', format, '--tensors', '90');
      const seen = new Map(rows.map(([what = '', , , , cell = '']) => [what, cell]));
      assert.equal(seen.get('far end, mmap'), 'the bytes that were written');
      // A tensor has a .bin and a .grad in a folder, and no two of these share it.
      assert.match(seen.get('first find') ?? '', /^\d{3} lines$/);
      assert.equal(seen.get('first find'), seen.get('second find'));
      for (const [what, , resident, peak] of rows.slice(1).filter(([, , memory]) => memory !== '')) {
        assert.ok(Number(resident) > 0 && Number(peak) >= Number(resident), what);
      }
    },
  );
}

test('the quiet scene counts the READs that reach the server, from within and with strace', {
  ...NEEDS,
  ...requires('strace', 'root'),
}, async (t) => {
  const rows = await scene(t, 'quiet', '--size', '64');
  const plane = rows.filter(([mount]) => mount === 'mlfs plane');
  assert.deepEqual(
    plane.map(([, what]) => what),
    ['10,000 random reads of 4 KiB', 'first pass', 'second pass'],
  );
  const [random, , second] = plane.map(([, , , counted, traced]) => [Number(counted), Number(traced)]);
  assert.ok(random?.every((reads) => reads > 5000));
  assert.deepEqual(second, [0, 0], 'the kernel has all pages');
  const view = rows.filter(([mount, what]) => mount === 'mlfs view' && what !== undefined);
  for (const [, what, , counted, traced] of view.filter(([, , reads]) => Number(reads) > 0)) {
    assert.deepEqual([counted, traced], ['0', '0'], `the kernel view: ${what}`);
  }
});
