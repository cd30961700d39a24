/**
 * What may be there after a crash. Every edit leads from one state of the file to the next; a state is the whole file with every
 * checksum computed anew. The line of states is written while a scenario runs, with what was promised about them.
 */
import { createHash } from 'node:crypto';
import { type SampleArchive, withChecksums } from './archives.ts';

export class History {
  readonly #archive: SampleArchive;
  readonly #states: Buffer[] = [];
  readonly #hashes: string[] = [];
  /** The last state whose edit was acknowledged: it survives the death of the process. */
  #acknowledged = 0;
  /** The last state that was said to be durable: it survives a power loss. */
  #durable = 0;
  /** The states that the checkpoint file itself may have. */
  #base: { from: number; to: number }[] = [{ from: 0, to: 0 }];
  /** A commit that is under way, from the state that it includes for sure. */
  #committing: number | undefined;
  /** Of edits that failed and may appear all the same. */
  readonly #ghosts = new Set<string>();
  /** Copies that were asked for, by path. */
  readonly #copies = new Map<string, { from: number; to: number | undefined; done: boolean }>();

  constructor(archive: SampleArchive) {
    this.#archive = archive;
    this.#push(archive.bytes);
  }

  get last(): number {
    return this.#states.length - 1;
  }

  state(index: number): Buffer {
    const state = this.#states[index];
    if (state === undefined) throw new RangeError(`no state ${index}`);
    return state;
  }

  /** Somebody begins to change the last state into this one. Returns its number. */
  begin(change: (bytes: Buffer) => void): number {
    const bytes = Buffer.from(this.state(this.last));
    change(bytes);
    return this.#push(withChecksums(bytes, this.#archive.entries));
  }

  /** Somebody begins to drop every edit: the checkpoint file shows, or what a commit that was begun makes of it. */
  beginDiscard(): number {
    return this.#push(this.state(this.#base.at(-1)?.to ?? 0));
  }

  /** A commit that could not be finished was finished before the edits were dropped. */
  replaceLast(bytes: Buffer): void {
    this.#states.pop();
    this.#hashes.pop();
    this.#push(bytes);
  }

  /** The edits behind a state failed, and nobody sees anything of them. They `mayAppear` after a crash, until something else is acknowledged. */
  retractTo(state: number, { mayAppear }: { readonly mayAppear: boolean }): void {
    if (state < this.#acknowledged) throw new Error('an acknowledged edit is gone');
    while (this.last > state) {
      this.#states.pop();
      const hash = this.#hashes.pop() as string;
      if (mayAppear) this.#ghosts.add(hash);
    }
  }

  acknowledge(index: number): void {
    this.#ghosts.clear();
    this.#acknowledged = Math.max(this.#acknowledged, index);
  }

  /** Runs what promises that everything acknowledged before it is durable when it is done. */
  async making<T>(durable: () => Promise<T>): Promise<T> {
    const upTo = this.#acknowledged;
    const result = await durable();
    this.#durable = Math.max(this.#durable, upTo);
    return result;
  }

  /** Runs a commit. */
  async committing<T>(commit: () => Promise<T>): Promise<T> {
    const from = this.#acknowledged;
    this.#committing = from;
    const result = await commit();
    this.#committing = undefined;
    this.#base = [{ from, to: this.last }];
    this.#durable = Math.max(this.#durable, from);
    return result;
  }

  /** Runs a commit to another file. */
  async copying<T>(path: string, copy: () => Promise<T>): Promise<T> {
    const asked = { from: this.#acknowledged, to: undefined as number | undefined, done: false };
    this.#copies.set(path, asked);
    const result = await copy();
    asked.to = this.last;
    asked.done = true;
    return result;
  }

  /** Which state the bytes are; undefined when they are none of those that may be there. `died`: the process, not the machine. */
  whichState(bytes: Buffer, { died }: { readonly died: boolean }): number | undefined {
    if (this.#ghosts.has(hashOf(bytes))) return this.last;
    return this.#find(bytes, died ? this.#acknowledged : this.#durable, this.last);
  }

  /** The same for the checkpoint file. */
  whichBase(bytes: Buffer): number | undefined {
    const allowed = [...this.#base];
    if (this.#committing !== undefined) allowed.push({ from: this.#committing, to: this.last });
    for (const { from, to } of allowed) {
      const found = this.#find(bytes, from, to);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Where copies were asked for. */
  get copies(): string[] {
    return [...this.#copies.keys()];
  }

  /** Why the copies that are there, or not, must not be so; undefined when they may. */
  wrongCopy(read: (path: string) => Buffer | undefined): string | undefined {
    for (const [path, { from, to, done }] of this.#copies) {
      const bytes = read(path);
      if (bytes === undefined && done) return `${path} is gone`;
      if (bytes !== undefined && this.#find(bytes, from, to ?? this.last) === undefined) {
        return `${path} is none of the states that were to be copied`;
      }
    }
    return undefined;
  }

  /** What was promised so far, for messages and to tell cases apart. */
  get promises(): string {
    return JSON.stringify([
      this.#durable,
      this.#acknowledged,
      this.last,
      this.#base,
      this.#committing,
      [...this.#copies],
    ]);
  }

  #find(bytes: Buffer, from: number, to: number): number | undefined {
    const hash = hashOf(bytes);
    const found = this.#hashes.findIndex((one, index) => index >= from && index <= to && one === hash);
    return found < 0 ? undefined : found;
  }

  /** Whether it is a state of another time, for the message. */
  describe(bytes: Buffer): string {
    const index = this.#hashes.indexOf(hashOf(bytes));
    if (index >= 0) return `state ${index}`;
    const differences = this.#states.map((state, number) => {
      let count = 0;
      let first = -1;
      for (let at = 0; at < Math.max(state.byteLength, bytes.byteLength); at++) {
        if (state[at] === bytes[at]) continue;
        if (first < 0) first = at;
        count++;
      }
      return { number, count, first };
    });
    const { number, count, first } = differences.sort((a, b) => a.count - b.count)[0] as {
      number: number;
      count: number;
      first: number;
    };
    return `no state at all: ${count} bytes from byte ${first} on differ from state ${number}`;
  }

  #push(bytes: Buffer): number {
    this.#states.push(bytes);
    this.#hashes.push(hashOf(bytes));
    return this.last;
  }
}

function hashOf(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('base64');
}
