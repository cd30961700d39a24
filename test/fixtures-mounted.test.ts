/** The files of torch once more, mounted: what programs read below the mount point is what torch says. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Fixture, readFixtures } from './support/fixtures.ts';
import { output } from './support/run.ts';
import { mountable, Server, TRANSPORTS } from './support/served.ts';

const READ_MOUNT = fileURLToPath(new URL('./support/read-mount.py', import.meta.url));

interface MountedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly nbytes: number;
  readonly sha256?: string;
  readonly size?: number;
  readonly stat_size?: number;
  readonly error?: string;
}

interface MountRead {
  readonly tensors: readonly MountedTensor[];
  /** Files that end in .bin and are no tensor of tensors.json. */
  readonly strays: readonly string[][];
  readonly grads: readonly number[];
}

/** The keys that the training checkpoints among the fixtures have their model under: in a mount its tensors are called without them. */
const WRAPPERS = /^(?:model|state_dict|model_state_dict|tied|arrays)\./;

/** One line a tensor. A module's go by other names in its state dict than in its object tree, and are told once. */
function lines(
  fixture: Fixture,
  tensors: readonly { name: string; dtype: string; shape: readonly number[]; sha256: string | null }[],
): string[] {
  const isModule = fixture.stateDict !== undefined || fixture.format === 'torchscript';
  const told = tensors.map(
    ({ name, dtype, shape, sha256 }) => `${isModule ? '' : name} ${dtype} [${shape}] ${sha256}`,
  );
  return (isModule ? [...new Set(told)] : told).sort();
}

for (const transport of TRANSPORTS) {
  describe(`mounted by ${transport}`, mountable(transport, 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    for (const fixture of readFixtures()) {
      test(`${fixture.name} reads as torch reads it`, async () => {
        const { path } = await server.mount(fixture.path, { transport });
        const read: MountRead = JSON.parse(await output('python3', [READ_MOUNT, path]));
        const actual = read.tensors.map((tensor) => ({
          ...tensor,
          // Of names that clash the later one ends in a number: unit/checkpoint/model.test.ts.
          name: tensor.name.replace(/^(0|nested\.a)~2$/, '$1'),
          sha256: tensor.sha256 ?? null,
        }));
        const expected = fixture.tensors.map((tensor) => ({
          ...tensor,
          // A file that is one tensor has it under the name `tensor`.
          name: tensor.path.length === 0 ? 'tensor' : tensor.path.join('.').replace(WRAPPERS, ''),
        }));
        assert.deepEqual(lines(fixture, actual), lines(fixture, expected));
        assert.deepEqual(read.strays, []);
        const saved = read.tensors.filter(({ name }) => name.startsWith('grads.'));
        assert.deepEqual(
          new Set(read.grads.filter((size) => size > 0)),
          new Set(saved.map(({ nbytes }) => nbytes)),
          'gradients are those that the checkpoint holds',
        );
        for (const { name, nbytes, size, stat_size, error } of read.tensors) {
          if (error !== undefined) assert.equal(error, 'ENODATA', name);
          else assert.deepEqual({ size, stat_size }, { size: nbytes, stat_size: nbytes }, name);
        }
        if (fixture.str !== undefined) {
          assert.equal(await readFile(join(path, 'sys/model_str'), 'utf8'), `${fixture.str}\n`);
        }
        await server.unmount(path);
      });
    }
  });
}
