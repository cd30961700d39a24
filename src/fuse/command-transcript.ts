import { errno } from '../errors.ts';
import type { CommandContent } from '../storage/content.ts';

/** Maximum size of one write. The longest command contains a path. */
const MOST_COMMAND_BYTES = 16 * 1024;
/** Maximum size of the commands and answers that one descriptor keeps; the last answer may exceed it. */
export const MOST_TRANSCRIPT_BYTES = 1024 * 1024;

/**
 * The transcript of one descriptor of /sys/control: each command as it was written, followed by its answer. A reader that continues where it
 * wrote reads the answer, whoever keeps the position.
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

  /**
   * Carries out the lines one after the other. Rejects with the first failure. EFBIG for a write that is longer than any command, and for a
   * transcript that is too long.
   */
  async say(content: CommandContent, offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > MOST_COMMAND_BYTES)
      throw errno('EFBIG', `a command has at most ${MOST_COMMAND_BYTES} bytes`);
    if (Math.max(offset, this.#bytes.byteLength) >= MOST_TRANSCRIPT_BYTES)
      throw errno('EFBIG', 'the descriptor has heard too much: open the file again');
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
    const before = this.#bytes.subarray(0, offset);
    return Buffer.concat([before, Buffer.alloc(offset - before.length, '\n')]);
  }
}
