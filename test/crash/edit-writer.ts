/**
 * The writer of kill -9 rounds. A line of JSON on standard input, {mountpoint, seed, round}, lets it edit that mount until something fails. In
 * every other round it keeps the files that it writes in place open, as a program that trains does: session threads then carry out the writes;
 * on standard output it says `begin N` before and `done N` after each operation, and `over N REASON` at the end.
 */
import { closeSync, constants, fsyncSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type Operation, operation, pathOf, TENSORS, type TensorPlan } from './edit-plan.ts';

/** More than anybody waits for. */
const OPERATIONS = 2000;

const say = (line: string) => writeSync(1, `${line}\n`);

function writeAll(fd: number, bytes: Buffer, offset: number): void {
  for (let done = 0; done < bytes.byteLength; ) {
    done += writeSync(fd, bytes, done, bytes.byteLength - done, offset + done);
  }
}

function withFile(path: string, flags: number, use: (fd: number) => void): void {
  const fd = openSync(path, flags);
  use(fd);
  // What close(2) says is the answer to a replacement. After a failure there is nothing to close: the mount is gone.
  closeSync(fd);
}

/** Descriptors of files that stay open until the round is over, by path. */
const kept = new Map<string, number>();

function withKeptFile(path: string, use: (fd: number) => void): void {
  const fd = kept.get(path) ?? openSync(path, constants.O_WRONLY);
  kept.set(path, fd);
  use(fd);
}

function closeKept(): void {
  for (const fd of kept.values()) {
    try {
      closeSync(fd);
    } catch {
      // The server was killed.
    }
  }
  kept.clear();
}

function perform(mountpoint: string, edit: Operation, keepOpen: boolean): void {
  if (edit.kind === 'commit') {
    withFile(`${mountpoint}/sys/control`, constants.O_WRONLY, (fd) => writeSync(fd, 'commit\n'));
    return;
  }
  const path = pathOf(mountpoint, TENSORS[edit.tensor] as TensorPlan);
  const inPlace = (use: (fd: number) => void) =>
    keepOpen ? withKeptFile(path, use) : withFile(path, constants.O_WRONLY, use);
  if (edit.kind === 'fsync') inPlace(fsyncSync);
  else if (edit.kind === 'write') inPlace((fd) => writeAll(fd, edit.bytes, edit.offset));
  else {
    withFile(path, constants.O_WRONLY | constants.O_TRUNC, (fd) => writeAll(fd, edit.bytes, 0));
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { mountpoint, seed, round } = JSON.parse(line) as { mountpoint: string; seed: number; round: number };
  let number = 0;
  try {
    for (; number < OPERATIONS; number++) {
      const edit = operation(seed, round, number);
      say(`begin ${number}`);
      perform(mountpoint, edit, round % 2 === 1);
      say(`done ${number}`);
    }
    say(`over ${number} nothing failed`);
  } catch (cause) {
    say(`over ${number} ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`);
  }
  closeKept();
}
