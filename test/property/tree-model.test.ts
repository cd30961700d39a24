/**
 * Random sequences of operations, against a model of the tree in memory: through the Filesystem interface with real images, journals and
 * state directories, and some through a mount. `npm run test:property` makes 2,000 of them, and 200 through each transport; MLFS_SEED
 * repeats a run.
 */
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { seedOfRun } from './fsx-run.ts';
import { writeCheckpoint } from './tree-model/checkpoint.ts';
import type { Client } from './tree-model/client.ts';
import { FilesystemClient } from './tree-model/filesystem-client.ts';
import { follow } from './tree-model/follow.ts';
import { MountClient } from './tree-model/mount-client.ts';
import { type Operation, operations } from './tree-model/operation.ts';
import { serveInProcess } from './tree-model/serve-in-process.ts';

const SEQUENCES = Number(process.env.MLFS_SEQUENCES ?? 200);
const MOUNTED_SEQUENCES = Number(process.env.MLFS_MOUNTED_SEQUENCES ?? 12);
const LONGEST = 60;

/** By fuse-native what is staged passes through the kernel's pages of the file: who reads meanwhile is promised nothing. */
function stagesNothing(operation: Operation): boolean {
  return operation.do !== 'ftruncate' && !(operation.do === 'open' && operation.truncate);
}

describe('the tree against its model', () => {
  let folder: string;
  let template: string;
  let places: ReadonlyMap<string, number>;
  let made = 0;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mlfs-model-'));
    template = join(folder, 'template.pt');
    places = await writeCheckpoint(template);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Follows one sequence from the beginning. */
  async function followOn(
    clientOf: (checkpoint: string) => Client,
    sequence: readonly Operation[],
  ): Promise<void> {
    const place = join(folder, String(made++));
    await mkdir(place);
    const checkpoint = join(place, 'model.pt');
    await copyFile(template, checkpoint);
    const client = clientOf(checkpoint);
    try {
      await follow(client, places, sequence);
    } finally {
      await client.close();
      await rm(place, { recursive: true });
    }
  }

  async function explore(
    t: TestContext,
    count: number,
    clientOf: (checkpoint: string) => Client,
    done: (operation: Operation) => boolean = () => true,
  ): Promise<void> {
    const seed = seedOfRun();
    t.diagnostic(`${t.name}: ${count} sequences, MLFS_SEED=${seed}`);
    const sequences = fc.array(operations, { minLength: 1, maxLength: LONGEST, size: 'max' });
    await fc.assert(
      fc.asyncProperty(sequences, (sequence) => followOn(clientOf, sequence.filter(done))),
      { seed, numRuns: count, endOnFailure: false },
    );
  }

  const inProcess = (checkpoint: string) => new FilesystemClient(checkpoint, serveInProcess);

  test('through the Filesystem interface', (t) => explore(t, SEQUENCES, inProcess));

  for (const transport of TRANSPORTS) {
    describe(`through a mount by ${transport}`, mountable(transport, 'python3'), () => {
      let server: Server;
      before(async () => {
        server = await Server.start();
      });
      after(() => server.stop());

      test('a smaller number of sequences', (t) =>
        explore(
          t,
          MOUNTED_SEQUENCES,
          (checkpoint) => new MountClient(server, checkpoint, transport),
          transport === 'kernel' ? undefined : stagesNothing,
        ));
    });
  }

  /** What was found once, by name. */
  const FOUND: Readonly<Record<string, readonly Operation[]>> = {
    'a tensor that cannot be written is not cut to its own size': [
      { do: 'truncate', path: '/model/e.bin', size: 24 },
    ],
  };
  for (const [name, sequence] of Object.entries(FOUND)) {
    test(`${name}, as was found once`, () => followOn(inProcess, sequence));
  }
});
