/** fio writes a tensor with a checksum in every block and reads all of it back. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { requires } from '../support/requires.ts';
import { output, run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const SIZE = 4 * 2 ** 20;

/** Engines and how they write: buffered, through a mapping, past the page cache. */
const JOBS: Readonly<Record<string, readonly string[]>> = {
  'psync, in order': ['--ioengine=psync', '--rw=write', '--bs=64k'],
  'psync, at random': ['--ioengine=psync', '--rw=randwrite', '--bs=4k'],
  'psync, at random, blocks of many sizes': [
    '--ioengine=psync',
    '--rw=randwrite',
    '--bsrange=512-64k',
    '--bs_unaligned',
  ],
  'psync, at random, fsync every 64 blocks': ['--ioengine=psync', '--rw=randwrite', '--bs=16k', '--fsync=64'],
  'psync, direct': ['--ioengine=psync', '--rw=randwrite', '--bs=4k', '--direct=1'],
  'mmap, in order': ['--ioengine=mmap', '--rw=write', '--bs=16k'],
  'mmap, at random': ['--ioengine=mmap', '--rw=randwrite', '--bs=4k'],
  'libaio, 16 at a time': ['--ioengine=libaio', '--rw=randwrite', '--bs=4k', '--iodepth=16', '--direct=1'],
};

for (const transport of TRANSPORTS) {
  describe(`fio on a mount by ${transport}`, mountable(transport, 'fio', 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    for (const [name, job] of Object.entries(JOBS)) {
      test(`${name}: what was written verifies, now and after the next mount`, requires('fio'), async (t) => {
        const mount = await WritableMount.create(t, server, transport, [
          { name: 'before', dtype: 'uint8', shape: [100_001], fill: Buffer.alloc(100_001, 0x11) },
          { name: 'weight', dtype: 'uint8', shape: [SIZE], fill: Buffer.alloc(SIZE, 0xee) },
          { name: 'behind', dtype: 'uint8', shape: [100_001], fill: Buffer.alloc(100_001, 0x22) },
        ]);
        const plan = [
          '--name=verify',
          `--size=${SIZE}`,
          '--verify=crc32c',
          '--verify_fatal=1',
          '--do_verify=1',
          '--randseed=20',
          '--fallocate=none',
          '--overwrite=1',
          '--output-format=json',
          ...job,
        ];
        const fio = async (path: string, ...more: string[]) => {
          const outcome = await run('fio', [...plan, ...more, `--filename=${path}`], { cwd: mount.folder });
          assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
          const [result] = JSON.parse(outcome.stdout.slice(outcome.stdout.indexOf('{'))).jobs;
          assert.equal(result.error, 0);
          return result;
        };
        const written = await fio(mount.model('weight.bin'));
        assert.ok(written.write.io_bytes >= SIZE * 0.6, `${written.write.io_bytes} bytes were written`);
        const digest = (path: string) => output('sha256sum', ['-b', path]).then((line) => line.slice(0, 64));
        const digests = await Promise.all(
          ['before', 'weight', 'behind'].map((file) => digest(mount.model(`${file}.bin`))),
        );

        await mount.control('commit');
        const next = await mount.again(transport);
        assert.deepEqual(
          await Promise.all(['before', 'weight', 'behind'].map((file) => digest(next.model(`${file}.bin`)))),
          digests,
        );
        await fio(next.model('weight.bin'), '--verify_only=1');
        await next.python(`
for name, byte in ('before', 0x11), ('behind', 0x22):
    assert open(f'{M}/model/{name}.bin', 'rb').read() == bytes([byte]) * 100001, name
`);
        await output('unzip', ['-tqq', mount.checkpoint]);
      });
    }
  });
}
