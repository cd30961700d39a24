/**
 * A mount that is served by a separate process: started in the foreground, awaited until the kernel lists it, and always unmounted and reaped
 * afterwards.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfInterrupted, undoable } from './interrupt.ts';
import { output } from './programs.ts';

const MOUNT_DEADLINE_MS = 60_000;
const EXIT_DEADLINE_MS = 10_000;

export interface ServerCommand {
  readonly program: string;
  /** The arguments; `%MOUNTPOINT%` is replaced by the mount point. */
  readonly args: readonly string[];
  /** Processors the server may use, as taskset lists them. */
  readonly cpus?: string | undefined;
  /** Sets the mount's read_ahead_kb from outside; unchanged if undefined. */
  readonly readAheadKb?: number | undefined;
}

export interface Served {
  readonly mountpoint: string;
  readonly pid: number;
  end(): Promise<void>;
}

export async function serve(command: ServerCommand): Promise<Served> {
  throwIfInterrupted();
  const mountpoint = mkdtempSync(path.join(tmpdir(), 'mlfs-bench-mount-'));
  const args = command.args.map((arg) => arg.replace('%MOUNTPOINT%', mountpoint));
  const [program, programArgs] = command.cpus
    ? ['taskset', ['-c', command.cpus, command.program, ...args]]
    : [command.program, args];
  const child = spawn(program, programArgs, { stdio: ['ignore', 'ignore', 'pipe'] });
  const undo = undoable(() => end(mountpoint, child));
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  try {
    await untilMounted(mountpoint, child, () => complaint);
    if (command.readAheadKb) await setReadAhead(mountpoint, command.readAheadKb);
  } catch (cause) {
    await undo();
    throw cause;
  }
  return {
    mountpoint,
    pid: child.pid ?? 0,
    end: undo,
  };
}

/** Runs a command that mounts, and returns when the mount answers, leaving a server behind. */
export async function launch(command: ServerCommand): Promise<Served> {
  throwIfInterrupted();
  const mountpoint = mkdtempSync(path.join(tmpdir(), 'mlfs-bench-mount-'));
  const undo = undoable(async () => {
    await unmount(mountpoint);
    await rmdir(mountpoint);
  });
  try {
    await output(
      command.program,
      command.args.map((arg) => arg.replace('%MOUNTPOINT%', mountpoint)),
    );
  } catch (cause) {
    await undo();
    throw cause;
  }
  return {
    mountpoint,
    pid: 0,
    end: undo,
  };
}

/** Whether the kernel lists a mount there. Does not access the mount. */
export async function isMounted(mountpoint: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts.includes(` ${mountpoint} `);
}

async function untilMounted(mountpoint: string, child: ChildProcess, complaint: () => string): Promise<void> {
  const deadline = Date.now() + MOUNT_DEADLINE_MS;
  while (!(await isMounted(mountpoint))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`ended before it mounted: ${complaint().trim() || 'without a word'}`);
    }
    if (Date.now() > deadline) throw new Error('did not mount in time');
    await sleep(2);
  }
  await stat(mountpoint);
}

/** bdi directories are named by the mount's device number. Needs root; without it the mount keeps its own value. */
async function setReadAhead(mountpoint: string, kilobytes: number): Promise<void> {
  const { dev } = await stat(mountpoint);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  await writeFile(`/sys/class/bdi/${major}:${minor}/read_ahead_kb`, String(kilobytes));
}

/** A server that has not mounted yet may do so meanwhile: it is told to end, and the mount point is looked at again when it has ended. */
async function end(mountpoint: string, child: ChildProcess): Promise<void> {
  if (await isMounted(mountpoint)) await unmount(mountpoint);
  else child.kill('SIGTERM');
  await exited(child);
  await unmount(mountpoint);
  await rmdir(mountpoint);
}

export async function unmount(mountpoint: string): Promise<void> {
  if (!(await isMounted(mountpoint))) return;
  try {
    await output('umount', [mountpoint]);
  } catch {
    // Its server may have unmounted it in the meantime.
    if (await isMounted(mountpoint)) await output('fusermount3', ['-u', '-z', mountpoint]);
  }
}

/** A server ends when its mount is gone; one that does not gets a signal, and then SIGKILL. */
async function exited(child: ChildProcess): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const deadline = Date.now() + EXIT_DEADLINE_MS;
    while (Date.now() < deadline) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      await sleep(5);
    }
    child.kill(signal);
  }
}
