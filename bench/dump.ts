/**
 * Measures how fast activations are dumped: a program writes files of 64 MiB into a plain folder, and into /activations of mounts with and
 * without passthrough, on both transports. Rounds are interleaved, and the figures are medians: `node --import tsx bench/dump.ts [ROUNDS]`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeTorchZip } from '../src/checkpoint/torch/writer.ts';
import { Server, type TransportName } from '../test/support/served.ts';

const FILES = 8;
const FILE_BYTES = 64 * 2 ** 20;

/**
 * Writes the files, as numpy does, and prints the seconds; then reads them back and prints the seconds. Before that it does both three times
 * without a clock: a virtual machine's first touch of memory costs more than anything measured here.
 */
const DUMP = `
import os, shutil, sys, time
folder, files, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = memoryview(bytearray(os.urandom(1 << 20) * (size >> 20)))
into = bytearray(1 << 20)
def write(i):
    with open(f'{folder}/{i}.bin', 'wb', buffering=0) as file:
        left = data
        while left: left = left[file.write(left):]
def read(i):
    with open(f'{folder}/{i}.bin', 'rb', buffering=0) as file:
        while file.readinto(into): pass
def timed(step):
    start = time.perf_counter()
    for i in range(files): step(i)
    return time.perf_counter() - start
for _ in range(4):
    os.makedirs(folder)
    seconds = timed(write), timed(read)
    shutil.rmtree(folder)
print(*seconds, sep='\\n')
`;

const rounds = Number(process.argv[2] ?? 3);
const folder = mkdtempSync(join(tmpdir(), 'mlfs-dump-'));

async function mounted(name: string, transport: TransportName, passthrough: 'on' | 'off') {
  const server = await Server.start({ launcher: ['env', `MLFS_PASSTHROUGH=${passthrough}`] });
  const checkpoint = join(folder, `${name}.pt`);
  await writeTorchZip(checkpoint, {
    tensors: [{ name: 'bias', dtype: 'float32', shape: [4], fill: new Uint8Array(16) }],
  });
  const { path } = await server.mount(checkpoint, { transport });
  return { name, path: join(path, 'activations'), server };
}

const mounts = [
  await mounted('passthrough', 'kernel', 'on'),
  await mounted('plain', 'kernel', 'off'),
  await mounted('fuse-native', 'fuse-native', 'off'),
];
const targets = [{ name: 'a folder', path: folder }, ...mounts];
const seconds = new Map(targets.map(({ name }) => [name, { write: [] as number[], read: [] as number[] }]));
try {
  for (let round = 0; round < rounds; round++) {
    for (const { name, path } of rotated(targets, round)) {
      const args = ['-c', DUMP, join(path, 'dump'), String(FILES), String(FILE_BYTES)];
      const [write, read] = execFileSync('python3', args, { encoding: 'utf8' })
        .trim()
        .split('\n')
        .map(Number);
      seconds.get(name)?.write.push(write ?? 0);
      seconds.get(name)?.read.push(read ?? 0);
    }
  }
} finally {
  for (const { server } of mounts) await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
/** Each target is the first of a round in turn, because a target pays for what the previous one has left to write back. */
function rotated<T>(all: readonly T[], by: number): T[] {
  const at = by % all.length;
  return [...all.slice(at), ...all.slice(0, at)];
}
const median = (samples: number[]) => samples.sort((one, other) => one - other)[samples.length >> 1] ?? 0;
const rate = (samples: number[]) => (FILES * FILE_BYTES) / median(samples) / 1e9;
const folderRates = seconds.get('a folder');
for (const [name, { write, read }] of seconds) {
  const [writing, reading] = [rate(write), rate(read)];
  const share = writing / rate(folderRates?.write ?? []);
  const readShare = reading / rate(folderRates?.read ?? []);
  console.log(
    `${name.padEnd(12)} write ${writing.toFixed(2)} GB/s (${share.toFixed(2)}), read back ${reading.toFixed(2)} GB/s (${readShare.toFixed(2)})`,
  );
}
