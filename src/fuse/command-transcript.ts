import type { CommandContent } from '../storage/content.ts';

/**
 * What one descriptor of /sys/control has said and heard: its commands as they were written, each followed by its answer. So a reader
 * that goes on where it wrote reads the answer, whoever keeps the position.
 */
export class CommandTranscript {
  #bytes: Buffer = Buffer.alloc(0);
  #last: Promise<unknown> = Promise.resolve();

  get size(): number {
    return this.#bytes.length;
  }

  read(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(offset, offset + length);
  }

  /** Carries out each line, one after the other. Rejects with the first failure. */
  async say(content: CommandContent, offset: number, bytes: Uint8Array): Promise<void> {
    const text = Buffer.from(bytes);
    const turn = this.#last.then(async () => {
      const answers: string[] = [];
      for (const line of text.toString().split('\n')) {
        if (line.trim() !== '') answers.push(await content.perform(line.trim()));
      }
      this.#bytes = Buffer.concat([this.#upTo(offset), text, Buffer.from(answers.join(''))]);
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #upTo(offset: number): Buffer {
    const before = this.#bytes.subarray(0, Math.min(offset, LARGEST_GAP));
    return Buffer.concat([before, Buffer.alloc(Math.min(offset, LARGEST_GAP) - before.length, '\n')]);
  }
}

/** A write far behind the end makes no gigabytes. */
const LARGEST_GAP = 1024 * 1024;
