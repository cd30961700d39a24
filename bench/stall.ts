/**
 * npm run bench:stall [-- --gib N]: how long a `stat` elsewhere in a mount waits while a program reads a large tensor's statistics, its text
 * or its hash. One process asks repeatedly for the attributes of /logs/fuse.log, which the kernel does not cache, so that each answer comes
 * from the server; another process does the work. The output is the slowest answer, beside the slowest one of an idle mount.
 */
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PyDict } from '../src/checkpoint/pickle/values.ts';
import { tensorToWrite, writeTorchZip } from '../src/checkpoint/torch/writer.ts';
import { undoable, untilInterrupted } from './interrupt.ts';
import { CLI } from './programs.ts';
import { serve } from './served.ts';

const GIB = 2 ** 30;
const FLOAT_BYTES = 4;
const ROW = 1024;
/** The largest tensor that txt shows whole. */
const TEXT_ROWS = 976;
const IDLE_MS = 3000;

interface Job {
  readonly what: string;
  /** A script for bash; `$M` is the mount point, `$MLFS` the program. */
  readonly script: string;
}

const JOBS: readonly Job[] = [
  { what: 'idle', script: `sleep ${IDLE_MS / 1000}` },
  { what: 'json of the large tensor', script: 'cat "$M/views/json/big.json" >/dev/null' },
  { what: 'txt of the large tensor (its head)', script: 'cat "$M/views/txt/big.txt" >/dev/null' },
  { what: 'txt of a million elements', script: 'cat "$M/views/txt/million.txt" >/dev/null' },
  {
    what: 'a million elements edited as csv',
    script: 'sed -i "5s/^[^,]*/7.5/" "$M/views/csv/million.csv"',
  },
  { what: 'sha256sum of the large tensor', script: 'sha256sum "$M/model/big.bin" >/dev/null' },
  { what: 'mlfs seal', script: '$MLFS seal "$M" >/dev/null' },
  { what: 'mlfs check --finite', script: '$MLFS check "$M" --finite >/dev/null || true' },
  { what: 'the whole of /viz', script: 'cat "$M"/viz/events* >/dev/null' },
  { what: 'the safetensors export', script: 'cat "$M/export/model.safetensors" >/dev/null' },
];

const { values } = parseArgs({
  options: { gib: { type: 'string', default: '4' }, probe: { type: 'string' } },
});
if (values.probe !== undefined) await probe(values.probe);
else await untilInterrupted(() => measure(Number(values.gib)));

/** Prints the milliseconds of every answer until stdin ends. */
async function probe(file: string): Promise<void> {
  const { statSync } = await import('node:fs');
  const samples: number[] = [];
  let ended = false;
  process.stdin.on('end', () => {
    ended = true;
  });
  process.stdin.resume();
  while (!ended) {
    const before = process.hrtime.bigint();
    statSync(file);
    samples.push(Number(process.hrtime.bigint() - before) / 1e6);
    await sleep(1);
  }
  process.stdout.write(JSON.stringify(samples));
}

async function measure(gib: number): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'mlfs-bench-stall-'));
  const remove = undoable(() => rm(folder, { recursive: true, force: true }));
  try {
    const checkpoint = path.join(folder, 'model.pt');
    const root = new PyDict();
    root.className = 'collections.OrderedDict';
    const rows = (gib * GIB) / FLOAT_BYTES / ROW;
    root.set('big', tensorToWrite('float32', [rows, ROW], floats));
    root.set('million', tensorToWrite('float32', [TEXT_ROWS, ROW], floats));
    await writeTorchZip(checkpoint, { root });
    const served = await serve({
      program: process.execPath,
      args: [CLI, 'mount', '--foreground', checkpoint, '%MOUNTPOINT%'],
    });
    try {
      process.stdout.write(
        '| meanwhile | seconds | stats | median ms | 99 % ms | slowest ms |\n|---|---|---|---|---|---|\n',
      );
      for (const job of JOBS) process.stdout.write(`${await row(job, served.mountpoint)}\n`);
    } finally {
      await served.end();
    }
  } finally {
    await remove();
  }
}

async function row({ what, script }: Job, mountpoint: string): Promise<string> {
  const self = fileURLToPath(import.meta.url);
  const prober = spawn(
    process.execPath,
    [...process.execArgv, self, '--probe', path.join(mountpoint, 'logs/fuse.log')],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  let printed = '';
  prober.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const probed = new Promise((resolve) => prober.once('close', resolve));
  // tsx needs time to start.
  await sleep(1500);
  const started = Date.now();
  const failure = await run(script, mountpoint);
  const seconds = (Date.now() - started) / 1000;
  prober.stdin.end();
  await probed;
  const samples = (JSON.parse(printed) as number[]).sort((a, b) => a - b);
  const at = (share: number) => (samples[Math.floor((samples.length - 1) * share)] ?? Number.NaN).toFixed(2);
  const named = failure === 0 ? what : `${what} (failed with ${failure})`;
  return `| ${named} | ${seconds.toFixed(1)} | ${samples.length} | ${at(0.5)} | ${at(0.99)} | ${at(1)} |`;
}

function run(script: string, mountpoint: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, M: mountpoint, MLFS: `${process.execPath} ${CLI}` };
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? -1));
  });
}

/** Typical weights: small numbers of either sign, with all digits used. */
function floats(_offset: number, length: number): Uint8Array {
  const bytes = randomFillSync(Buffer.allocUnsafe(length));
  for (let at = 3; at < length; at += FLOAT_BYTES) bytes[at] = ((bytes[at] ?? 0) & 0x80) | 0x3c;
  return bytes;
}
