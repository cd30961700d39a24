/** The edits of a sample: in a separate state directory on the checkpoint's disk, removed after the sample. */
import { mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Driver, Opened } from './drivers/driver.ts';
import { statusOf } from './mount-status.ts';
import type { Subject } from './subject.ts';

const MOST_ANSWER = 1 << 16;

/** Runs `task` with an empty place for edits. */
export async function withState<T>(subject: Subject, task: (state: string) => Promise<T>): Promise<T> {
  const parent = await mkdtemp(path.join(path.dirname(subject.path), 'edits-'));
  try {
    return await task(path.join(parent, 'state'));
  } finally {
    await rm(parent, { recursive: true, force: true });
  }
}

/** Runs `task` with the subject opened for writing and without edits. What it wrote is removed afterwards, except from plain files. */
export function withFresh<T>(
  driver: Driver,
  subject: Subject,
  task: (opened: Opened, state: string) => Promise<T>,
): Promise<T> {
  return withState(subject, async (state) => {
    const opened = await driver.open(subject, { state });
    try {
      return await task(opened, state);
    } finally {
      await opened.close();
    }
  });
}

/** Bytes of the journal's segments on disk; 0 before the first edit. */
export async function journalBytes(state: string): Promise<number> {
  const journal = path.join(state, 'journal');
  let bytes = 0;
  for (const name of await namesIn(journal)) bytes += (await stat(path.join(journal, name))).size;
  return bytes;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cause;
  }
}

/** Writes a command to /sys/control and returns the answer, which the descriptor has after the command. */
export async function control(opened: Opened, command: string): Promise<Record<string, unknown>> {
  const file = await open(path.join(documents(opened), 'control'), 'r+');
  try {
    const said = Buffer.from(`${command}\n`);
    await file.write(said);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MOST_ANSWER), 0, MOST_ANSWER, said.byteLength);
    return JSON.parse(buffer.toString('utf8', 0, bytesRead)) as Record<string, unknown>;
  } finally {
    await file.close();
  }
}

/** Counters of status.json; none if there is no such document. */
export async function counters(opened: Opened): Promise<Readonly<Record<string, number>>> {
  if (opened.documents === undefined) return {};
  return (await statusOf(opened.documents)).counters;
}

function documents(opened: Opened): string {
  if (opened.documents === undefined) throw new Error(`${opened.root}: is no mount of ours`);
  return opened.documents;
}
