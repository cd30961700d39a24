/**
 * npm run bench:large [-- --format safetensors] [--writable] [--tensors N] [--directory DIR]: a model with the names and shapes of
 * DeepSeek-V3 in one sparse file of 690 GB: mount, find, ls -lR, du, and the far end of the last tensor through a mapping, with the memory of
 * the server after each. The bytes of the far end are compared with what was written. numpy's memmap is shown, too, where numpy is there.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { read } from './client.ts';
import { undoable, untilInterrupted } from './interrupt.ts';
import { MARK, type PlacedTensor, writeExpertsPt, writeExpertsSafetensors } from './models/write-experts.ts';
import { statusOf } from './mount-status.ts';
import { buildPrograms, CLI, output } from './programs.ts';
import { resident } from './resident.ts';
import { launch } from './served.ts';

const PAGE_BYTES = 4096;
const GB = 1e9;

const { values } = parseArgs({
  options: {
    format: { type: 'string', default: 'pt' },
    writable: { type: 'boolean', default: false },
    tensors: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
  },
});
await untilInterrupted(async () => {
  buildPrograms();
  const folder = mkdtempSync(path.join(values.directory, 'mlfs-bench-large-'));
  const remove = undoable(() => rm(folder, { recursive: true, force: true }));
  try {
    await scene(folder);
  } finally {
    await remove();
  }
});

async function scene(folder: string): Promise<void> {
  const checkpoint = path.join(folder, `model.${values.format}`);
  const write = values.format === 'pt' ? writeExpertsPt : writeExpertsSafetensors;
  const tensors = values.tensors === undefined ? {} : { tensors: Number(values.tensors) };
  const started = performance.now();
  const { size, count, last } = await write(checkpoint, tensors);
  say(`${count} tensors, ${(size / GB).toFixed(1)} GB, written as a sparse file in ${seconds(started)} s\n`);
  const mountStarted = performance.now();
  const how = values.writable ? [] : ['--read-only'];
  const served = await launch({
    program: process.execPath,
    args: [CLI, 'mount', ...how, checkpoint, '%MOUNTPOINT%'],
  });
  try {
    const mountSeconds = seconds(mountStarted);
    const { pid } = await statusOf(path.join(served.mountpoint, 'sys'));
    const model = path.join(served.mountpoint, 'model');
    const tensor = path.join(model, ...filePath(last));
    say('| what | seconds | server, VmRSS MiB | server, VmHWM MiB | seen |\n|---|---|---|---|---|');
    await row(pid, 'mount', mountSeconds, `${count} tensors`);
    const walks: readonly [what: string, program: string, args: readonly string[]][] = [
      ['first find', 'find', [model]],
      ['second find', 'find', [model]],
      ['ls -lR', 'ls', ['-lR', model]],
      ['du -s', 'du', ['-s', model]],
    ];
    for (const [what, program, args] of walks) {
      const start = performance.now();
      const printed = await output(program, args);
      const lines = printed.trimEnd().split('\n');
      await row(pid, what, seconds(start), lines.length === 1 ? (lines[0] ?? '') : `${lines.length} lines`);
    }
    await farEnd(pid, tensor, last);
    numpyFarEnd(tensor);
    await row(pid, 'at the end', '', '');
  } finally {
    await served.end();
  }
}

/** The last page of the last tensor through a mapping. */
async function farEnd(pid: number, tensor: string, { length }: PlacedTensor): Promise<void> {
  const start = performance.now();
  const span = Math.min(length, PAGE_BYTES);
  const { sum } = await read({ mode: 'mmap', path: tensor, offset: length - span, length: span });
  const wanted = (MARK.readBigUInt64LE(0) + MARK.readBigUInt64LE(8)) & 0xffff_ffff_ffff_ffffn;
  const exact = BigInt(`0x${sum}`) === wanted;
  await row(pid, 'far end, mmap', seconds(start), exact ? 'the bytes that were written' : `wrong: ${sum}`);
  if (!exact) process.exitCode = 1;
}

function numpyFarEnd(tensor: string): void {
  const program = `import numpy, sys; print(numpy.memmap(sys.argv[1], 'uint8', 'r')[-${MARK.length}:].tobytes().decode())`;
  let printed: string;
  try {
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    printed = execFileSync('python3', ['-c', program, tensor], {
      encoding: 'utf8',
      stdio: [...stdio],
    }).trim();
  } catch {
    say('| far end, np.memmap | | | | numpy is not installed |');
    return;
  }
  const exact = printed === MARK.toString();
  say(`| far end, np.memmap | | | | ${exact ? 'the bytes that were written' : `wrong: ${printed}`} |`);
  if (!exact) process.exitCode = 1;
}

async function row(pid: number, what: string, took: string, seen: string): Promise<void> {
  const { total, peak } = await resident(pid);
  say(`| ${what} | ${took} | ${total.toFixed(0)} | ${peak.toFixed(0)} | ${seen.replaceAll('\t', ' ')} |`);
}

function filePath({ name }: PlacedTensor): string[] {
  const parts = name.split('.');
  return [...parts.slice(0, -1), `${parts.at(-1)}.bin`];
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(2);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
