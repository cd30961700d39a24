/** rsync makes one training step out of another, and what is journalled is what differs. */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const BLOCK_BYTES = 4096;
const TENSORS = 8;
const TENSOR_BYTES = 8 * 2 ** 20;
const BLOCKS = (TENSORS * TENSOR_BYTES) / BLOCK_BYTES;
/** Of 100 blocks, one is another one. */
const CHANGED_BLOCKS = Math.floor(BLOCKS / 100);

const names = Array.from({ length: TENSORS }, (_, index) => `layer${index}`);

/** Bytes that look like weights: nothing repeats, so rsync finds a block nowhere else. */
function noise(seed: number, size: number): Buffer {
  const words = new Uint32Array(size / 4);
  let state = seed;
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[index] = state ^ (state >>> 15);
  }
  return Buffer.from(words.buffer);
}

/** The package hands on the access time in the place of both. */
const KEEPS_TIMES = { kernel: true, 'fuse-native': false } as const;

for (const transport of TRANSPORTS) {
  describe(`rsync to a mount by ${transport}`, mountable(transport, 'rsync', 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    interface Scene {
      readonly mount: WritableMount;
      /** The next step's model folder: the tensors as plain files. */
      readonly step: string;
      readonly changedBytes: number;
      same(mount: WritableMount): Promise<void>;
    }

    /** A checkpoint, and a folder that is its model after another step of training: 1 % of its blocks are others. */
    async function scene(t: TestContext): Promise<Scene> {
      const mount = await WritableMount.create(
        t,
        server,
        transport,
        names.map((name, index) => ({
          name: `${name}.weight`,
          dtype: 'float32',
          shape: [TENSOR_BYTES / 4],
          fill: noise(index + 1, TENSOR_BYTES),
        })),
      );
      const step = join(mount.folder, 'step-2000');
      await output('cp', ['-r', mount.model(), step]);
      const changed = new Map<string, Buffer>();
      for (let count = 0; count < CHANGED_BLOCKS; count++) {
        const block = (count * 7919) % BLOCKS;
        const name = names[Math.floor((block * BLOCK_BYTES) / TENSOR_BYTES)] as string;
        const file = join(step, name, 'weight.bin');
        const bytes = changed.get(file) ?? (await readFile(file));
        noise(1000 + count, BLOCK_BYTES).copy(bytes, (block * BLOCK_BYTES) % TENSOR_BYTES);
        changed.set(file, bytes);
      }
      for (const [file, bytes] of changed) await writeFile(file, bytes);
      // rsync takes files of one size and one second for equal.
      await output('find', [step, '-type', 'f', '-exec', 'touch', '-d', '2001-02-03', '{}', '+']);
      return {
        mount,
        step,
        changedBytes: CHANGED_BLOCKS * BLOCK_BYTES,
        same: async (at) => {
          await output('diff', ['-r', step, at.model()]);
        },
      };
    }

    async function rsync(...args: string[]): Promise<string> {
      const outcome = await run('rsync', args);
      assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
      assert.equal(outcome.stderr, '');
      return outcome.stdout;
    }

    async function journalBytes(mount: WritableMount): Promise<number> {
      return (await mount.status()).journal?.bytes ?? 0;
    }

    test('--inplace makes one step of another and journals what differs, once', async (t) => {
      const { mount, step, changedBytes, same } = await scene(t);
      const inPlace = ['-a', '--inplace', '--no-whole-file', `${step}/`, `${mount.model()}/`];
      await rsync(...inPlace);
      await same(mount);
      const journalled = await journalBytes(mount);
      t.diagnostic(
        `${transport}: ${journalled} bytes journalled for ${changedBytes} bytes in ${CHANGED_BLOCKS} blocks: ${(journalled / changedBytes).toFixed(4)}`,
      );
      assert.ok(journalled <= 1.1 * changedBytes, `${journalled} for ${changedBytes}`);
      const { dirty_bytes } = await mount.status();
      assert.ok(dirty_bytes <= changedBytes && dirty_bytes > 0.95 * changedBytes);

      if (KEEPS_TIMES[transport]) {
        assert.equal(await rsync('--itemize-changes', ...inPlace), '', 'there is nothing to send');
      }
      await rsync('--ignore-times', ...inPlace);
      assert.equal(await journalBytes(mount), journalled);

      await mount.control('commit');
      const next = await mount.again(transport);
      await same(next);
      assert.equal((await next.status()).dirty_bytes, 0);
    });

    test('without --inplace it sends files beside the tensors and renames them over', async (t) => {
      const { mount, step, changedBytes, same } = await scene(t);
      await rsync('-a', `${step}/`, `${mount.model()}/`);
      await same(mount);
      const journalled = await journalBytes(mount);
      assert.ok(journalled <= 1.1 * changedBytes, `${journalled} for ${changedBytes}`);
      for (const name of names) {
        assert.deepEqual((await readdir(mount.model(name))).sort(), ['weight.bin', 'weight.grad']);
      }
      if (KEEPS_TIMES[transport]) {
        assert.equal(await rsync('-a', '--itemize-changes', `${step}/`, `${mount.model()}/`), '');
      }
      await rsync('-a', '--ignore-times', '--whole-file', `${step}/`, `${mount.model()}/`);
      assert.equal(await journalBytes(mount), journalled);
    });

    test('cp -r of the next step journals what differs, and a second one nothing', async (t) => {
      const { mount, step, changedBytes, same } = await scene(t);
      await mount.shellOutput(`cp -r ${step}/. $M/model/`);
      await same(mount);
      const journalled = await journalBytes(mount);
      assert.ok(journalled <= 1.1 * changedBytes, `${journalled} for ${changedBytes}`);
      await mount.shellOutput(`cp -r ${step}/. $M/model/`);
      assert.equal(await journalBytes(mount), journalled);
    });

    test('a tensor of another size is reported and left alone, the others are sent', async (t) => {
      const { mount, step } = await scene(t);
      const before = await readFile(mount.model('layer3/weight.bin'));
      await writeFile(join(step, 'layer3/weight.bin'), before.subarray(0, 1_000_000));
      const outcome = await run('rsync', ['-a', '--no-whole-file', `${step}/`, `${mount.model()}/`]);
      assert.equal(outcome.code, 23, outcome.stderr);
      assert.match(outcome.stderr, /layer3\/weight\.bin.*Invalid argument/);
      assert.ok(before.equals(await readFile(mount.model('layer3/weight.bin'))));
      await output('cmp', [join(step, 'layer4/weight.bin'), mount.model('layer4/weight.bin')]);
      assert.deepEqual((await readdir(mount.model('layer3'))).sort(), ['weight.bin', 'weight.grad']);
    });

    test('--delete cannot take tensors away', async (t) => {
      const { mount, step } = await scene(t);
      await output('rm', ['-r', join(step, 'layer2')]);
      const outcome = await run('rsync', ['-a', '--inplace', '--delete', `${step}/`, `${mount.model()}/`]);
      assert.equal(outcome.code, 23, outcome.stderr);
      assert.match(outcome.stderr, /Operation not permitted/);
      assert.ok(noise(3, TENSOR_BYTES).equals(await readFile(mount.model('layer2/weight.bin'))));
    });

    test('from one mount to another, without a copy in between', requires('rsync'), async (t) => {
      const { mount, step, changedBytes } = await scene(t);
      const other = await WritableMount.create(
        t,
        server,
        transport,
        await Promise.all(
          names.map(async (name) => ({
            name: `${name}.weight`,
            dtype: 'float32' as const,
            shape: [TENSOR_BYTES / 4],
            fill: await readFile(join(step, name, 'weight.bin')),
          })),
        ),
        { readOnly: true },
      );
      // Both checkpoints may have been saved in the same second.
      await rsync(
        '--ignore-times',
        '-a',
        '--inplace',
        '--no-whole-file',
        `${other.model()}/`,
        `${mount.model()}/`,
      );
      await output('diff', ['-r', other.model(), mount.model()]);
      assert.ok((await journalBytes(mount)) <= 1.1 * changedBytes);
    });
  });
}
