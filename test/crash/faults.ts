/**
 * Lets every call that changes the medium fail, once or from there on, with ENOSPC or EIO: a write after half of it, a sync for good. What must hold:
 *
 * - The caller hears of it: an MlfsError with the errno of the medium, or EIO when it is a consequence of an earlier failure.
 * - Readers go on, and see the edit whole or not at all.
 * - After a power loss, or the death of the process, right then: everything that was said to be durable, or acknowledged, is there.
 * - When the medium works again so does everything else: an edit, fsync, commit.
 */
import assert from 'node:assert/strict';
import { type ErrnoName, MlfsError } from '../../src/errors.ts';
import { crashStates } from './crash-states.ts';
import { History } from './history.ts';
import { CHECKPOINT, mediumWith, type Opened, openArchive } from './opened-archive.ts';
import type { Scenario } from './scenarios.ts';
import { SeededRandom } from './seeded-random.ts';
import type { Call, SimulatedMedium } from './simulated-medium.ts';
import { type EditOf, User } from './user.ts';

export interface Fault {
  readonly errno: ErrnoName;
  /** Every call from there on fails, until the medium is mended. */
  readonly forGood: boolean;
  /** Pages that could not be written leave the page cache. */
  readonly forgets: boolean;
}

export const FAULTS: readonly Fault[] = (['ENOSPC', 'EIO'] as const).flatMap((errno) => [
  { errno, forGood: false, forgets: false },
  { errno, forGood: true, forgets: false },
  { errno, forGood: false, forgets: true },
]);

/** Runs the scenario once for each of its calls, and lets that one fail. Returns how many there were, and how many failures somebody heard of. */
export async function failEveryCall(
  scenario: Scenario,
  fault: Fault,
  seed: number,
): Promise<{ calls: number; heard: number }> {
  let heard = 0;
  for (let number = 1; ; number++) {
    const run = new FaultyRun(scenario, fault, number, seed);
    try {
      await run.run();
    } catch (cause) {
      const { errno, forGood, forgets } = fault;
      const how = `${errno}${forGood ? ' from there on' : ''}${forgets ? ', pages forgotten' : ''}`;
      const call = run.failed === undefined ? 'none' : `${run.failed.kind} ${run.failed.path}`;
      throw new Error(
        `${scenario.name}: call ${number} (${call}) fails with ${how}: ${(cause as Error).stack}`,
      );
    }
    heard += run.heard;
    if (run.failed === undefined) return { calls: number - 1, heard };
  }
}

class FaultyRun {
  /** The first call that failed; undefined when the scenario has less calls. */
  failed: Call | undefined;
  heard = 0;
  readonly #scenario: Scenario;
  readonly #fault: Fault;
  readonly #number: number;
  readonly #random: SeededRandom;

  constructor(scenario: Scenario, fault: Fault, number: number, seed: number) {
    this.#scenario = scenario;
    this.#fault = fault;
    this.#number = number;
    this.#random = new SeededRandom(seed);
  }

  async run(): Promise<void> {
    const { archive, options, run } = this.#scenario;
    const { forGood, forgets, errno } = this.#fault;
    const medium = mediumWith(archive);
    medium.forgetsAfterFailedSync = forgets;
    medium.fate = (call) => {
      if (call.number !== this.#number && !(forGood && call.number > this.#number)) return 'done';
      this.failed ??= call;
      return { errno };
    };
    const history = new History(archive);
    const opened = await openArchive(medium, options);
    const user = new TolerantUser(opened, history, this.#fault);
    await run(user);
    this.heard = user.failures;
    if (this.failed === undefined) {
      await this.#closes(opened);
      if (this.failed === undefined) return;
      await this.#survives(medium, history);
    } else {
      await this.#survives(medium, history);
      medium.fate = () => 'done';
      if (!forgets) await this.#worksAgain(new User(opened, history), medium, history);
      await this.#closes(opened);
    }
    medium.fate = () => 'done';
    await (await openArchive(medium, options)).close();
  }

  async #survives(medium: SimulatedMedium, history: History): Promise<void> {
    const killed = medium.copy();
    killed.restart();
    for (const state of crashStates(medium, { limit: 6, random: this.#random })) {
      await this.#recovers(state, history, false);
    }
    if (!this.#fault.forgets) await this.#recovers(killed, history, true);
  }

  async #recovers(medium: SimulatedMedium, history: History, died: boolean): Promise<void> {
    // The lock of the one that goes on is in this process, too: another folder, another lock.
    medium.moveFolder('disk', 'after');
    const next = await openArchive(medium, this.#scenario.options, '/after');
    const bytes = await next.exported();
    await next.die();
    const after = died ? 'the death of the process' : 'a power loss';
    const state = history.whichState(bytes, { died });
    assert.notEqual(state, undefined, `after ${after} it is ${history.describe(bytes)}; ${history.promises}`);
    const base = medium.bytesOf('/after/model.pt') ?? Buffer.alloc(0);
    assert.notEqual(
      history.whichBase(base),
      undefined,
      `after ${after} the file is ${history.describe(base)}`,
    );
  }

  /** A failure of closing is told, and takes nothing away; the lock is free all the same. */
  async #closes(opened: Opened): Promise<void> {
    try {
      await opened.close();
    } catch (cause) {
      this.heard++;
      assert.ok(cause instanceof MlfsError && this.failed !== undefined, String(cause));
      const lost = this.#fault.forgets && cause.message.includes('is lost');
      assert.ok(lost || cause.errno === this.#fault.errno, cause.message);
      await opened.die();
    }
  }

  async #worksAgain(user: User, medium: SimulatedMedium, history: History): Promise<void> {
    // What could not be compacted may have reached the limit; a commit makes room.
    await user.commit();
    await user.write(
      this.#scenario.archive.entries[1]?.offset ?? 0,
      Buffer.from('written when it works again'),
    );
    await user.flush();
    await user.commit();
    const base = medium.bytesOf(CHECKPOINT) ?? Buffer.alloc(0);
    assert.ok(base.equals(history.state(history.last)), `the committed file is ${history.describe(base)}`);
  }
}

/** Goes on when a call fails, and looks at what became of it. */
class TolerantUser extends User {
  failures = 0;
  readonly #opened: Opened;
  readonly #history: History;
  readonly #fault: Fault;

  constructor(opened: Opened, history: History, fault: Fault) {
    super(opened, history);
    this.#opened = opened;
    this.#history = history;
    this.#fault = fault;
  }

  override write(offset: number, bytes: Buffer): Promise<void> {
    return this.#tolerate(() => super.write(offset, bytes));
  }

  override replace(edits: readonly EditOf[]): Promise<void> {
    return this.#tolerate(() => super.replace(edits));
  }

  override giveUp(edits: readonly EditOf[]): Promise<void> {
    return this.#tolerate(() => super.giveUp(edits));
  }

  override writeRuns(offset: number, runs: readonly EditOf[]): Promise<void> {
    return this.#tolerate(() => super.writeRuns(offset, runs));
  }

  override flush(): Promise<void> {
    return this.#tolerate(() => super.flush());
  }

  override commit(): Promise<void> {
    return this.#tolerate(() => super.commit());
  }

  override commitTo(path: string): Promise<void> {
    return this.#tolerate(() => super.commitTo(path));
  }

  override discard(): Promise<void> {
    return this.#tolerate(() => super.discard(), { discards: true });
  }

  async #tolerate(call: () => Promise<void>, { discards = false } = {}): Promise<void> {
    const before = this.#history.last;
    let done = false;
    try {
      await call();
      done = true;
    } catch (cause) {
      this.failures++;
      assert.ok(cause instanceof MlfsError, `not an MlfsError: ${(cause as Error).stack}`);
      const { errno } = this.#fault;
      // What left the page cache is lost, and said to be, until the edits are dropped.
      const lost = this.#fault.forgets && cause.message.includes('is lost');
      const consequence = cause.errno === 'EIO' && (cause.message.includes(errno) || lost);
      assert.ok(cause.errno === errno || consequence, `the errno is ${cause.errno}: ${cause.message}`);
      assert.match(cause.message, /\/disk/);
    }
    const bytes = await this.#opened.exported();
    if (bytes.equals(this.#history.state(this.#history.last))) return;
    if (done && discards && this.#history.whichBase(bytes) !== undefined) {
      this.#history.replaceLast(bytes);
    } else if (this.#history.last > before && bytes.equals(this.#history.state(before))) {
      // Where nothing works any more, what was written before the failure cannot be taken away either.
      this.#history.retractTo(before, { mayAppear: discards || this.#fault.forGood });
    } else assert.ok(this.#fault.forgets, `readers see ${this.#history.describe(bytes)}`);
  }
}
