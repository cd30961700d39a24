/**
 * Cuts a scenario short at every call that changes the medium, before it and in its middle, looks at the media that may be left, recovers
 * each, and cuts the recovery short at every call, too. What is found must keep what History says was promised:
 *
 * - Recovery succeeds. The image is one of the states that may be there: nothing that was said to be durable is missing, what was
 *   written later is there up to some edit, and nothing is there in parts.
 * - The checkpoint file itself is the one before or after a commit, whole, with every checksum right.
 * - What recovery showed once stays, even if the power goes right after it.
 * - Afterwards everything works: an edit, a commit, a copy, and nothing is left over.
 * - When only the process dies, every acknowledged edit is there.
 */
import { crashStates, signatureOf } from './crash-states.ts';
import { History } from './history.ts';
import { CHECKPOINT, mediumWith, type Opened, openArchive } from './opened-archive.ts';
import type { Scenario } from './scenarios.ts';
import { SeededRandom } from './seeded-random.ts';
import type { Call, SimulatedMedium } from './simulated-medium.ts';
import { User } from './user.ts';

export interface EnumerationOptions {
  readonly seed: number;
  /** Media looked at for each crash. */
  readonly states: number;
  /** Media looked at for each crash during a recovery. */
  readonly statesOfRecovery: number;
  /** How often a recovery may be cut short in a row. */
  readonly depth: number;
}

export interface Counts {
  /** Places where a scenario was cut short. */
  crashes: number;
  /** Media that were left by them and recovered. */
  states: number;
  /** Places where a recovery was cut short. */
  crashesInRecovery: number;
  statesOfRecovery: number;
  /** Processes that were killed. */
  deaths: number;
  /** Media whose recovery and all that follows was checked; equal ones with equal promises once. */
  distinct: number;
}

interface Run {
  readonly medium: SimulatedMedium;
  readonly history: History;
}

/** How many media are looked at to see that what was recovered stays. */
const STATES_AFTER_RECOVERY = 6;

export class Enumeration {
  readonly #scenario: Scenario;
  readonly #options: EnumerationOptions;
  readonly #random: SeededRandom;
  /** Checked cases, and how deep. */
  readonly #checked = new Map<string, number>();
  readonly counts: Counts = {
    crashes: 0,
    states: 0,
    crashesInRecovery: 0,
    statesOfRecovery: 0,
    deaths: 0,
    distinct: 0,
  };

  constructor(scenario: Scenario, options: EnumerationOptions) {
    this.#scenario = scenario;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  async run(): Promise<Counts> {
    const whole = await this.#runUntil(undefined, 'power loss before');
    const calls = [...whole.medium.calls];
    for (const call of [...calls, undefined]) {
      const places = [`before ${shown(call)}`];
      if (call?.kind === 'write' || call?.kind === 'sync') places.push(`during ${shown(call)}`);
      for (const place of places) {
        await this.#crashAt(
          call,
          place,
          place.startsWith('before') ? 'power loss before' : 'power loss during',
        );
      }
    }
    return this.counts;
  }

  async #crashAt(
    call: Call | undefined,
    place: string,
    when: 'power loss before' | 'power loss during',
  ): Promise<void> {
    this.counts.crashes++;
    const { medium, history } = await this.#runUntil(call, when);
    for (const state of crashStates(medium, { limit: this.#options.states, random: this.#random })) {
      this.counts.states++;
      await this.#check(state, history, `power loss ${place}`, this.#options.depth);
    }
    await this.#kill({ medium, history }, `process killed ${place}`);
  }

  /** Runs the scenario until a call, or to its end and the power goes then. */
  async #runUntil(call: Call | undefined, when: 'power loss before' | 'power loss during'): Promise<Run> {
    const { archive, options, run } = this.#scenario;
    const medium = mediumWith(archive);
    const history = new History(archive);
    medium.fate = ({ number }) => (number === call?.number ? when : 'done');
    const opened = await openArchive(medium, options);
    try {
      await run(new User(opened, history));
      await opened.close();
      medium.cutPower();
    } catch (cause) {
      if (!medium.powerless) throw cause;
    }
    await opened.die();
    return { medium, history };
  }

  /** The process alone is gone, and then the power with it, while the next one recovers. */
  async #kill({ medium: left, history }: Run, where: string): Promise<void> {
    this.counts.deaths++;
    left.restart();
    const medium = left.copy();
    const opened = await this.#recover(medium, where);
    const calls = [...medium.calls];
    const { state } = await this.#judge(opened, medium, history, where, true);
    const afterwards = this.#leftAfter(medium);
    await opened.die();
    await this.#stays(afterwards, history, state, where);
    if (this.#options.depth === 0) return;
    for (const call of calls) await this.#crashRecovery({ medium: left.copy(), history }, call, where, 0);
  }

  async #check(state: SimulatedMedium, history: History, where: string, depth: number): Promise<void> {
    const key = `${signatureOf(state)} ${history.promises}`;
    const known = this.#checked.get(key);
    if (known !== undefined && known >= depth) return;
    if (known === undefined) this.counts.distinct++;
    this.#checked.set(key, depth);

    const medium = state.afterCrash([]);
    const opened = await this.#recover(medium, where);
    const calls = [...medium.calls];
    const found = await this.#judge(opened, medium, history, where, false);
    const left = this.#leftAfter(medium);
    if (known === undefined) await this.#worksAfter(opened, medium, history, found.state, where);
    await opened.die();
    if (known === undefined) await this.#stays(left, history, found.state, where);
    if (depth === 0) return;
    for (const call of calls)
      await this.#crashRecovery({ medium: state.afterCrash([]), history }, call, where, depth - 1);
  }

  /** Cuts the recovery of a medium short at a call, and recovers again. */
  async #crashRecovery({ medium, history }: Run, call: Call, where: string, depth: number): Promise<void> {
    this.counts.crashesInRecovery++;
    const { options } = this.#scenario;
    medium.fate = ({ number }) =>
      number === call.number
        ? this.#random.chance(0.5)
          ? 'power loss before'
          : 'power loss during'
        : 'done';
    try {
      const opened = await openArchive(medium, options);
      await opened.die();
    } catch (cause) {
      if (!medium.powerless) throw cause;
    }
    const place = `${where}, then in its recovery at ${shown(call)}`;
    for (const left of crashStates(medium, { limit: this.#options.statesOfRecovery, random: this.#random })) {
      this.counts.statesOfRecovery++;
      await this.#check(left, history, place, depth);
    }
  }

  async #recover(medium: SimulatedMedium, where: string): Promise<Opened> {
    const before = listed(medium);
    try {
      return await openArchive(medium, this.#scenario.options);
    } catch (cause) {
      throw this.#failure(where, `recovery fails: ${(cause as Error).stack}`, before);
    }
  }

  /** Which states image and checkpoint file have; throws when they must not have them. */
  async #judge(
    opened: Opened,
    medium: SimulatedMedium,
    history: History,
    where: string,
    died: boolean,
  ): Promise<{ state: number }> {
    const bytes = await opened.exported();
    const state = history.whichState(bytes, { died });
    if (state === undefined) {
      throw this.#failure(
        where,
        `the image is ${history.describe(bytes)}; promised: ${history.promises}`,
        listed(medium),
      );
    }
    const base = medium.bytesOf(CHECKPOINT) ?? Buffer.alloc(0);
    if (history.whichBase(base) === undefined) {
      throw this.#failure(
        where,
        `the checkpoint file is ${history.describe(base)}; promised: ${history.promises}`,
        listed(medium),
      );
    }
    const wrongCopy = history.wrongCopy((path) => medium.bytesOf(path));
    if (wrongCopy !== undefined) throw this.#failure(where, wrongCopy, listed(medium));
    return { state };
  }

  /** What a power loss now would leave. */
  #leftAfter(medium: SimulatedMedium): SimulatedMedium[] {
    return [...crashStates(medium, { limit: STATES_AFTER_RECOVERY, random: this.#random })];
  }

  async #stays(
    left: readonly SimulatedMedium[],
    history: History,
    state: number,
    where: string,
  ): Promise<void> {
    const place = `${where}, and a power loss after its recovery`;
    for (const medium of left) {
      const opened = await this.#recover(medium, place);
      const bytes = await opened.exported();
      await opened.die();
      if (bytes.equals(history.state(state))) continue;
      throw this.#failure(place, `what was state ${state} is ${history.describe(bytes)}`, listed(medium));
    }
  }

  async #worksAfter(
    opened: Opened,
    medium: SimulatedMedium,
    history: History,
    state: number,
    where: string,
  ): Promise<void> {
    const { archive, options } = this.#scenario;
    try {
      const next = new History({ ...archive, bytes: history.state(state) });
      const user = new User(opened, next);
      await user.write(archive.entries[1]?.offset ?? 0, Buffer.from('written after the recovery'));
      for (const path of history.copies) await opened.edits.commitTo(path, { overwrite: true });
      await user.commit();
      await opened.close();
      for (const path of [CHECKPOINT, ...history.copies]) {
        const bytes = medium.bytesOf(path) ?? Buffer.alloc(0);
        if (next.whichBase(bytes) === undefined) throw new Error(`${path} is ${next.describe(bytes)}`);
      }
      const again = await openArchive(medium, options);
      const dirty = again.edits.dirty;
      await again.close();
      if (dirty) throw new Error('edits are left after a commit');
    } catch (cause) {
      throw this.#failure(
        where,
        `nothing works after the recovery: ${(cause as Error).stack}`,
        listed(medium),
      );
    }
  }

  #failure(where: string, what: string, files: string): Error {
    const { seed } = this.#options;
    return new Error(`${this.#scenario.name}: ${where} (seed ${seed}): ${what}\nfiles: ${files}`);
  }
}

function shown(call: Call | undefined): string {
  return call === undefined ? 'nothing: it is over' : `call ${call.number} (${call.kind} ${call.path})`;
}

function listed(medium: SimulatedMedium): string {
  return [...medium.files()]
    .map(([path, bytes]) => (bytes === undefined ? `${path}/` : `${path} ${bytes.byteLength}`))
    .join(', ');
}
