/**
 * Rounds of kill -9: a process edits a real mount, the server is killed somewhere in it, and the next mount must show every edit
 * that was acknowledged, the one under way whole, not at all, or (a plain write) up to some byte. The journal goes on from round to
 * round; some end with a commit, after which Python's zipfile finds every checksum right and the file holds what the mount showed.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { unmountPath } from '../../src/fuse/transport/unmount.ts';
import { releaseMountsBelow } from '../support/leaked-mounts.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { Server } from '../support/served.ts';
import { type Operation, operation, pathOf, TENSORS } from './edit-plan.ts';
import { SeededRandom } from './seeded-random.ts';

export interface KillCounts {
  rounds: number;
  /** Rounds in which something was fsynced and not committed when the server was killed. */
  roundsWithDurableEdits: number;
  acknowledged: number;
  /** At least so many writes were carried out by session threads, without JavaScript. */
  nativeWrites: number;
  fsyncs: number;
  commits: number;
  /** What was under way when the server was killed, by kind; `nothing` between two operations. */
  underWay: Record<string, number>;
  /** What was under way and is there. */
  appeared: number;
  /** Servers that were killed before they had mounted. */
  killedWhileMounting: number;
  /** Files whose checksums Python found right. */
  checkedFiles: number;
}

const TSX = import.meta.resolve('tsx');
const WRITER = fileURLToPath(new URL('./edit-writer.ts', import.meta.url));

/** Before the server is killed. */
const MOST_OPERATIONS = 60;

export async function killRounds(
  rounds: number,
  seed: number,
  tell: (line: string) => void = () => undefined,
) {
  const folder = await mkdtemp(join(tmpdir(), 'mlfs-killed-'));
  const run = new KillRun(folder, seed);
  // So that every mount is below it, and can be found there.
  const { TMPDIR } = process.env;
  process.env.TMPDIR = folder;
  try {
    await run.prepare();
    for (let round = 0; round < rounds; round++) {
      try {
        await run.round(round);
      } catch (cause) {
        throw new Error(`round ${round} of seed ${seed}: ${(cause as Error).stack}`);
      }
      if (round % 10 === 9) tell(`${round + 1} rounds: ${JSON.stringify(run.counts)}`);
    }
    await run.last();
    return run.counts;
  } finally {
    await run.end();
    process.env.TMPDIR = TMPDIR ?? '/tmp';
  }
}

class KillRun {
  readonly counts: KillCounts = {
    rounds: 0,
    roundsWithDurableEdits: 0,
    acknowledged: 0,
    nativeWrites: 0,
    fsyncs: 0,
    commits: 0,
    underWay: {},
    appeared: 0,
    killedWhileMounting: 0,
    checkedFiles: 0,
  };
  readonly #folder: string;
  readonly #seed: number;
  readonly #random: SeededRandom;
  readonly #checkpoint: string;
  /** What every tensor holds. */
  readonly #expected: Buffer[] = [];
  /** Where its bytes lie in the file. */
  readonly #offsets: number[] = [];
  #underWay: Operation | undefined;
  #writer: ChildProcess | undefined;
  #lines: AsyncIterator<string> | undefined;
  /** The server of the next round. */
  #server: Server | undefined;
  #serving: { readonly server: Server; readonly path: string } | undefined;

  constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#checkpoint = join(folder, 'model.pt');
  }

  async prepare(): Promise<void> {
    for (const { length } of TENSORS) this.#expected.push(this.#random.bytes(length));
    const { storages } = await writeTorchZip(this.#checkpoint, {
      tensors: TENSORS.map(({ name, length }, index) => ({
        name,
        dtype: 'float32' as const,
        shape: [length / 4],
        fill: this.#expected[index] as Buffer,
      })),
    });
    this.#offsets.push(...[...storages.values()].map(({ offset }) => offset));
    this.#writer = spawn(process.execPath, ['--import', TSX, WRITER], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#writer.stdout === null) throw new Error('the writer has no output');
    this.#lines = createInterface({ input: this.#writer.stdout })[Symbol.asyncIterator]();
  }

  async round(round: number): Promise<void> {
    if (this.#random.chance(0.15)) await this.#killWhileItMounts();
    const server = await this.#startServer();
    const { path } = await server.mount(this.#checkpoint, { transport: 'kernel' });
    this.#serving = { server, path };
    // The next one starts while this one is used.
    this.#server = await Server.start();
    await this.#check(path);
    if (this.#random.chance(0.3)) await this.#commit(path);
    const done = await this.#editUntilKilled(server, path, round);
    this.#settle(done, round);
    await this.#cleanUp();
    this.counts.rounds++;
  }

  /** A last mount, to see what the last round left. */
  async last(): Promise<void> {
    const server = await this.#startServer();
    const { path } = await server.mount(this.#checkpoint, { transport: 'kernel' });
    await this.#check(path);
    await this.#commit(path);
    await server.unmount(path);
  }

  async end(): Promise<void> {
    await this.#cleanUp();
    this.#writer?.kill('SIGKILL');
    await this.#server?.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Recovery itself is killed somewhere, too. */
  async #killWhileItMounts(): Promise<void> {
    const server = await this.#startServer();
    this.#server = undefined;
    const mounted = server.mount(this.#checkpoint, { transport: 'kernel' }).then(
      () => 'mounted',
      () => 'killed',
    );
    await Promise.race([mounted, pause(this.#random.below(400))]);
    const ended = once(server.process, 'exit');
    process.kill(server.pid, 'SIGKILL');
    await ended;
    if ((await mounted) === 'killed') this.counts.killedWhileMounting++;
    await releaseMountsBelow(this.#folder);
    await server.stop();
  }

  /** A dead mount, which nobody serves any more. */
  async #cleanUp(): Promise<void> {
    const serving = this.#serving;
    this.#serving = undefined;
    if (serving === undefined) return;
    await unmountPath(serving.path, true);
    await serving.server.stop();
  }

  async #startServer(): Promise<Server> {
    this.#server ??= await Server.start();
    return this.#server;
  }

  async #editUntilKilled(server: Server, mountpoint: string, round: number): Promise<number> {
    const killAt = this.#random.below(MOST_OPERATIONS);
    const event = this.#random.chance(0.7) ? 'begin' : 'done';
    const delayMs = this.#random.below(8);
    this.#writer?.stdin?.write(`${JSON.stringify({ mountpoint, seed: this.#seed, round })}\n`);
    let acknowledged = 0;
    // The counter of a server that will be killed: asked long before, because an answer takes up what was written natively.
    const askAt = Math.floor(killAt / 2);
    let asked: Promise<void> | undefined;
    for (;;) {
      const line = await this.#lines?.next();
      if (line === undefined || line.done) throw new Error('the writer ended');
      const [what, number, ...reason] = line.value.split(' ');
      if (what === 'over') {
        await asked;
        if (server.alive)
          throw new Error(`operation ${number} fails without anybody being killed: ${reason.join(' ')}`);
        return acknowledged;
      }
      if (what === 'done') acknowledged++;
      if (what === 'done' && Number(number) === askAt) asked = this.#countNativeWrites(mountpoint);
      if (what === event && Number(number) === killAt) {
        await pause(delayMs);
        const ended = once(server.process, 'exit');
        process.kill(server.pid, 'SIGKILL');
        await ended;
      }
    }
  }

  async #countNativeWrites(mountpoint: string): Promise<void> {
    try {
      const { counters } = JSON.parse(await readFile(join(mountpoint, 'sys/status.json'), 'utf8'));
      this.counts.nativeWrites += counters.native_writes_total;
    } catch {
      // The server was killed.
    }
  }

  /** Puts what was acknowledged into what is expected, and finds out about the operation that was under way. */
  #settle(acknowledged: number, round: number): void {
    let durable = false;
    let unsynced = false;
    for (let number = 0; number < acknowledged; number++) {
      const edit = operation(this.#seed, round, number);
      this.counts.acknowledged++;
      if (edit.kind === 'commit') {
        this.counts.commits++;
        durable = false;
        unsynced = false;
      } else if (edit.kind === 'fsync') {
        this.counts.fsyncs++;
        durable ||= unsynced;
      } else {
        unsynced = true;
        edit.bytes.copy(this.#expected[edit.tensor] as Buffer, edit.kind === 'write' ? edit.offset : 0);
      }
    }
    if (durable) this.counts.roundsWithDurableEdits++;
    const last = operation(this.#seed, round, acknowledged);
    this.counts.underWay[last.kind] = (this.counts.underWay[last.kind] ?? 0) + 1;
    this.#underWay = last;
  }

  async #check(mountpoint: string): Promise<void> {
    const edit = this.#underWay;
    for (const [index, tensor] of TENSORS.entries()) {
      const actual = await readFile(pathOf(mountpoint, tensor));
      const expected = this.#expected[index] as Buffer;
      if (actual.equals(expected)) continue;
      if (edit === undefined || edit.kind === 'commit' || edit.kind === 'fsync' || edit.tensor !== index) {
        throw new Error(`${tensor.name} is not what it was: ${difference(actual, expected)}`);
      }
      const whole = Buffer.from(expected);
      edit.bytes.copy(whole, edit.kind === 'write' ? edit.offset : 0);
      const partly = edit.kind === 'write' ? upTo(actual, expected, whole) : whole;
      if (!actual.equals(partly)) {
        throw new Error(`${tensor.name}: a ${edit.kind} is there in parts: ${difference(actual, whole)}`);
      }
      this.counts.appeared++;
      this.#expected[index] = actual;
    }
    this.#underWay = undefined;
  }

  async #commit(mountpoint: string): Promise<void> {
    await writeFile(join(mountpoint, 'sys/control'), 'commit\n');
    const bad = await output(DEBIAN_PYTHON, [
      '-c',
      'import sys, zipfile\nprint(zipfile.ZipFile(sys.argv[1]).testzip())',
      this.#checkpoint,
    ]);
    assert.equal(bad.trim(), 'None', 'a checksum of the committed file is wrong');
    const bytes = await readFile(this.#checkpoint);
    for (const [index, { name, length }] of TENSORS.entries()) {
      const offset = this.#offsets[index] as number;
      const actual = bytes.subarray(offset, offset + length);
      assert.ok(actual.equals(this.#expected[index] as Buffer), `${name} was committed wrongly`);
    }
    this.counts.checkedFiles++;
  }
}

/** The new bytes up to the last one that is there, the old ones behind. */
function upTo(actual: Buffer, before: Buffer, after: Buffer): Buffer {
  let end = actual.byteLength;
  while (end > 0 && actual[end - 1] === before[end - 1]) end--;
  return Buffer.concat([after.subarray(0, end), before.subarray(end)]);
}

function difference(actual: Buffer, expected: Buffer): string {
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  let count = 0;
  for (let index = 0; index < actual.byteLength; index++) if (actual[index] !== expected[index]) count++;
  return `${count} of ${actual.byteLength} bytes from byte ${at} on (${expected.byteLength} expected)`;
}
