/** The data plane answers READ without JavaScript: a server whose event loop stands still goes on serving tensors. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { mountable, Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const PASSES = 50;

/**
 * Opens the file, then a line at a time on its standard input: reads it whole PASSES times, each time from the server because
 * the kernel's pages of it were dropped, and prints the digest of it all.
 */
const READER = `
import hashlib, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
size, passes = os.fstat(fd).st_size, int(sys.argv[2])
print('open', flush=True)
for _ in sys.stdin:
    sha = hashlib.sha256()
    for _ in range(passes):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        at = 0
        while at < size:
            part = os.pread(fd, 1 << 20, at)
            assert part, at
            sha.update(part)
            at += len(part)
    print(sha.hexdigest(), flush=True)
`;

test('kernel: reads go on while the event loop stands still', mountable('kernel', 'python3'), async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const folder = await temporaryDirectory(t);
  const bytes = Buffer.alloc(5 * 2 ** 20 + 17, 'every byte counts. ');
  const checkpoint = join(folder, 'model.pt');
  await writeTorchZip(checkpoint, {
    tensors: [{ name: 'weight', dtype: 'uint8', shape: [bytes.length], fill: bytes }],
  });
  const { path } = await server.mount(checkpoint, { transport: 'kernel' });

  const reader = spawn('python3', ['-c', READER, join(path, 'model/weight.bin'), String(PASSES)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => reader.kill('SIGKILL'));
  const lines = createInterface({ input: reader.stdout });
  const nextLine = async () => (await once(lines, 'line', { signal: t.signal }))[0] as string;
  assert.equal(await nextLine(), 'open');

  const wanted = createHash('sha256');
  for (let pass = 0; pass < PASSES; pass++) wanted.update(bytes);
  const release = join(folder, 'release');
  await server.block(release);
  // Only after the digest is there is the event loop set free: it did not answer a single read.
  const digest = nextLine();
  reader.stdin.write('read\n');
  assert.equal(await digest, wanted.digest('hex'));
  await server.release(release);
  reader.stdin.end();
  assert.deepEqual(await once(reader, 'exit'), [0, null]);
  await server.unmount(path);
});
