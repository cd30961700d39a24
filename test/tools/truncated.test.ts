/** The checkpoint changes under its mount: what cannot be read any more is an error for that read, and the server lives. */
import assert from 'node:assert/strict';
import { rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { output, run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS, type TransportName } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

/** Several windows of a reader, and no multiple of a page. */
const LARGE_BYTES = 9 * 2 ** 20 + 77;
const PERIOD = 251;

function pattern(size: number): Uint8Array {
  return Buffer.from({ length: size } as ArrayLike<number>).map((_, index) => index % PERIOD);
}

/**
 * Reads places of the large tensor, from the server and not from the kernel's pages, and prints what came of each: `same`, an
 * errno, or `WRONG` when bytes came that were never there: read.py PATH PLACES, a place being [offset, size].
 */
const PROBE = `
import errno, json, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
def probe(offset, size):
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    try: got = os.pread(fd, size, offset)
    except OSError as error: return errno.errorcode[error.errno]
    return 'same' if got == bytes((offset + i) % ${PERIOD} for i in range(len(got))) and got else 'WRONG'
print(json.dumps([probe(*place) for place in json.loads(sys.argv[2])]))
`;

interface Scene {
  readonly server: Server;
  readonly checkpoint: string;
  readonly mount: string;
  /** Where the large tensor starts in the file. */
  readonly start: number;
  probe(places: readonly [offset: number, size: number][]): Promise<string[]>;
}

async function scene(t: TestContext, transport: TransportName): Promise<Scene> {
  const server = await Server.start();
  t.after(() => server.stop());
  const checkpoint = join(await temporaryDirectory(t), 'model.pt');
  const { storages } = await writeTorchZip(checkpoint, {
    tensors: [
      { name: 'small', dtype: 'uint8', shape: [5000], fill: pattern(5000) },
      { name: 'large', dtype: 'uint8', shape: [LARGE_BYTES], fill: pattern(LARGE_BYTES) },
    ],
  });
  const { path: mount } = await server.mount(checkpoint, { transport });
  const probe = async (places: readonly [number, number][]) =>
    JSON.parse(
      await output('python3', ['-c', PROBE, join(mount, 'model/large.bin'), JSON.stringify(places)]),
    );
  const start = storages.get('1')?.offset ?? 0;
  return { server, checkpoint, mount, start, probe };
}

/** Nobody was served what was never in the tensor, what lies before the cut is there, and the rest is an error. */
function refused(outcome: string | undefined): boolean {
  return outcome === 'EIO' || outcome === 'ESTALE';
}

for (const transport of TRANSPORTS) {
  test(
    `${transport}: a truncated file is EIO for what is gone, never bytes that were not there`,
    mountable(transport, 'python3'),
    async (t) => {
      const { server, checkpoint, mount, start, probe } = await scene(t, transport);
      assert.deepEqual(
        await probe([
          [0, 4096],
          [LARGE_BYTES - 100, 100],
        ]),
        ['same', 'same'],
      );
      // In the middle of a page: what follows the cut on that page reads as zeros through a mapping.
      const cut = 4 * 2 ** 20 + 1234;
      await truncate(checkpoint, start + cut);
      const [before, across, samePage, beyond, end] = await probe([
        [cut - 8192, 4096],
        [cut - 500, 1000],
        [cut + 1, 16],
        [cut + 2 ** 20, 65536],
        [LARGE_BYTES - 77, 77],
      ]);
      assert.ok(before === 'same' || refused(before), before);
      assert.ok(refused(across) || across === 'same', across);
      for (const outcome of [samePage, beyond, end]) assert.ok(refused(outcome), outcome);
      // Programs fail, the server does not.
      assert.notEqual((await run('cp', [join(mount, 'model/large.bin'), '/dev/null'])).code, 0);
      assert.notEqual((await run('sha256sum', [join(mount, 'model/large.bin')])).code, 0);
      assert.ok(server.alive);
      const status = JSON.parse(await output('cat', [join(mount, 'sys/status.json')]));
      assert.deepEqual([status.state, status.stale_reason], ['stale', 'truncated']);
    },
  );

  test(
    `${transport}: a mapping of a file that was cut kills its program and nothing else`,
    mountable(transport, 'python3'),
    async (t) => {
      const { server, checkpoint, mount } = await scene(t, transport);
      const script = `
import mmap, os, sys
with open(sys.argv[1], 'rb') as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    os.truncate(sys.argv[2], 4096)
    print(sum(mapped[at] for at in range(0, len(mapped), 4096)))
`;
      const outcome = await run('python3', ['-c', script, join(mount, 'model/large.bin'), checkpoint]);
      assert.equal(outcome.signal, 'SIGBUS', outcome.stdout + outcome.stderr);
      assert.ok(server.alive);
      assert.match(await output('ls', [join(mount, 'model')]), /large\.bin/);
    },
  );

  test(
    `${transport}: a file that is replaced by another goes on as the one that was opened`,
    mountable(transport, 'python3'),
    async (t) => {
      const { server, checkpoint, mount, probe } = await scene(t, transport);
      await writeFile(`${checkpoint}.new`, 'another file');
      await rename(`${checkpoint}.new`, checkpoint);
      assert.deepEqual(
        await probe([
          [0, 65536],
          [LARGE_BYTES - 100_000, 100_000],
        ]),
        ['same', 'same'],
      );
      const status = JSON.parse(await output('cat', [join(mount, 'sys/status.json')]));
      assert.deepEqual([status.state, status.stale_reason], ['stale', 'replaced']);
      assert.ok(server.alive);
    },
  );

  test(
    `${transport}: a file that is emptied in place, as torch.save does, leaves a server that unmounts`,
    mountable(transport, 'python3'),
    async (t) => {
      const { server, checkpoint, mount, probe } = await scene(t, transport);
      await truncate(checkpoint, 0);
      for (const outcome of await probe([
        [0, 4096],
        [2 ** 20, 2 ** 20],
      ]))
        assert.ok(refused(outcome), outcome);
      assert.ok(server.alive);
      await server.unmount(mount);
    },
  );
}
