/** Who edits a checkpoint in a crash test: every call is written into the history before it begins and when it is acknowledged. */
import type { History } from './history.ts';
import type { Opened } from './opened-archive.ts';

export type EditOf = readonly [offset: number, bytes: Buffer];

export class User {
  readonly #opened: Opened;
  readonly #history: History;

  constructor(opened: Opened, history: History) {
    this.#opened = opened;
    this.#history = history;
  }

  /** A plain write. Its bytes must differ so often from those before them that one record is made of it. */
  write(offset: number, bytes: Buffer): Promise<void> {
    return this.#update([[offset, bytes]], false);
  }

  /** A replacement: all of it or nothing. */
  replace(edits: readonly EditOf[]): Promise<void> {
    return this.#update(edits, true);
  }

  /** A replacement whose writer gives up before its end: nothing of it may ever be seen. */
  async giveUp(edits: readonly EditOf[]): Promise<void> {
    const givenUp = new Error('the writer gave up');
    const update = this.#opened.image.update(
      async (task) => {
        for (const [offset, bytes] of edits) await task.write(offset, bytes);
        throw givenUp;
      },
      { atomic: true },
    );
    await update.catch((cause: unknown) => {
      if (cause !== givenUp) throw cause;
    });
  }

  /** A plain write that changes some runs only, each a record; offsets of the runs are those in the write. */
  async writeRuns(offset: number, runs: readonly EditOf[]): Promise<void> {
    const end = Math.max(...runs.map(([at, bytes]) => at + bytes.byteLength));
    let index = -1;
    await this.#opened.image.update(async (update) => {
      const whole = Buffer.from(await update.read(offset, end));
      for (const [at, bytes] of runs) {
        bytes.copy(whole, at);
        index = this.#history.begin((state) => bytes.copy(state, offset + at));
      }
      await update.write(offset, whole);
    });
    this.#history.acknowledge(index);
  }

  flush(): Promise<void> {
    return this.#history.making(() => this.#opened.edits.flush());
  }

  async commit(onProgress?: () => void): Promise<void> {
    await this.#history.committing(() =>
      this.#opened.edits.commit(onProgress === undefined ? {} : { onProgress }),
    );
  }

  async commitTo(path: string): Promise<void> {
    await this.#history.copying(path, () => this.#opened.edits.commitTo(path));
  }

  async discard(): Promise<void> {
    const index = this.#history.beginDiscard();
    await this.#opened.edits.discard();
    this.#history.acknowledge(index);
    // It is one durable record.
    await this.#history.making(() => Promise.resolve());
  }

  /** A compaction under way has ended. */
  async settled(): Promise<void> {
    // It is one of the decisions, which wait for each other.
    await this.#opened.edits.commit({ dryRun: true });
  }

  async #update(edits: readonly EditOf[], atomic: boolean): Promise<void> {
    let index = -1;
    await this.#opened.image.update(
      async (update) => {
        index = this.#history.begin((state) => {
          for (const [offset, bytes] of edits) bytes.copy(state, offset);
        });
        for (const [offset, bytes] of edits) await update.write(offset, bytes);
      },
      { atomic },
    );
    this.#history.acknowledge(index);
  }
}
