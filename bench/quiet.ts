/**
 * npm run bench:quiet [-- --size MIB]: how many READ messages reach the server while a program makes 10,000 random reads of a tensor and
 * reads it twice from front to end. Counted twice: by the mount's own counters, and by strace of the server where strace is installed.
 */
import { mkdtempSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type ReadPlan, read } from './client.ts';
import type { Driver, Opened } from './drivers/driver.ts';
import { mlfsKernel, mlfsPlane, mlfsView } from './drivers/mlfs.ts';
import { undoable, untilInterrupted } from './interrupt.ts';
import { modelReads } from './mount-status.ts';
import { buildPrograms } from './programs.ts';
import { ReadMessages } from './read-messages.ts';
import { type Subject, Subjects } from './subject.ts';

const MIB = 2 ** 20;

const STEPS: readonly { readonly what: string; readonly plan: Pick<ReadPlan, 'mode' | 'count'> }[] = [
  { what: '10,000 random reads of 4 KiB', plan: { mode: 'random', count: 10_000 } },
  { what: 'first pass', plan: { mode: 'seq' } },
  { what: 'second pass', plan: { mode: 'seq' } },
];

const { values } = parseArgs({ options: { size: { type: 'string', default: '256' } } });
await untilInterrupted(scene);

async function scene(): Promise<void> {
  buildPrograms();
  const subjects = await Subjects.in(undefined, Number(values.size) * MIB);
  const logs = mkdtempSync(path.join(tmpdir(), 'mlfs-bench-quiet-'));
  const removeLogs = undoable(() => rm(logs, { recursive: true, force: true }));
  try {
    const subject = await subjects.get('large');
    process.stdout.write('| mount | what is read | reads | READs, by counters | READs, by strace |\n');
    process.stdout.write('|---|---|---|---|---|\n');
    for (const driver of [mlfsView, mlfsPlane, mlfsKernel]) await show(driver, subject, logs);
  } finally {
    await removeLogs();
    await subjects.remove();
  }
}

async function show(driver: Driver, subject: Subject, logs: string): Promise<void> {
  const missing = driver.missing();
  if (missing !== undefined) {
    process.stdout.write(`| ${driver.name} | ${missing} | | | |\n`);
    return;
  }
  const opened = await driver.open(subject);
  try {
    for (const step of STEPS) {
      const { reads, counted, traced } = await countReads(opened, step.plan, path.join(logs, 'strace'));
      const cells = [driver.name, step.what, reads, counted, traced ?? 'strace is not installed'];
      process.stdout.write(`| ${cells.join(' | ')} |\n`);
    }
  } finally {
    await opened.close();
  }
}

async function countReads(opened: Opened, plan: Pick<ReadPlan, 'mode' | 'count'>, log: string) {
  const { documents, pid } = opened;
  if (documents === undefined || pid === undefined) throw new Error(`${opened.root}: is not a mount of MLFS`);
  const nodeid = (await stat(opened.path)).ino;
  const before = await modelReads(documents);
  const watched = await ReadMessages.watch(pid, log);
  let reads: number;
  let traced: number | undefined;
  try {
    const { offset, length } = opened;
    const { passes } = await read({ path: opened.path, offset, length, ...plan });
    reads = passes[0]?.reads ?? Number.NaN;
  } finally {
    traced = await watched?.count(nodeid);
  }
  return { reads, counted: (await modelReads(documents)) - before, traced };
}
