import type { SnapshotContent } from '../storage/content.ts';

/** What a document says now. */
export interface Statement {
  readonly text: string;
  /** What of it does not change merely because time goes by and files are read. */
  readonly lasting: string;
}

/** Sizes with room for growth are multiples of it. */
const STEP_BYTES = 1024;

/**
 * A document of the moment that has counters in it, which rise when files are read, this one included. Its size and its time are the same until
 * something lasting changes, so that `tar` and `rsync` find the file as it was before they read it. Blanks at the end fill it up.
 */
export class SteadyDocument implements SnapshotContent {
  readonly kind = 'snapshot';
  readonly #say: () => Promise<Statement>;
  readonly #roomBytes: number;
  #lasting: string | undefined;
  #size = 0;
  #changedMs = 0;

  /** `roomBytes`: how much longer counters may make the text before the size changes. */
  constructor(say: () => Promise<Statement>, roomBytes: number) {
    this.#say = say;
    this.#roomBytes = roomBytes;
  }

  changedMs(): number {
    return this.#changedMs;
  }

  async make(): Promise<Uint8Array> {
    const { text, lasting } = await this.#say();
    const length = Buffer.byteLength(text);
    if (lasting !== this.#lasting || length > this.#size) {
      this.#lasting = lasting;
      this.#size = this.#roomBytes === 0 ? length : stepAbove(length + this.#roomBytes);
      this.#changedMs = Math.max(Date.now(), this.#changedMs + 1);
    }
    if (length === this.#size) return Buffer.from(text);
    const bytes = Buffer.alloc(this.#size, ' ');
    bytes.write(text);
    bytes.write('\n', this.#size - 1);
    return bytes;
  }
}

function stepAbove(bytes: number): number {
  return Math.ceil((bytes + 1) / STEP_BYTES) * STEP_BYTES;
}

/** As many digits as the largest safe integer has. */
const NUMBER_WIDTH = 16;

/**
 * Indented JSON of an object; the numbers in its `running` members, and in the members of those, have a fixed width. What is lasting is the rest.
 */
export function statementOf(json: string, running: ReadonlySet<string>): Statement {
  const text: string[] = [];
  const lasting: string[] = [];
  let inside = false;
  for (const line of json.split('\n')) {
    const [, name, opens] = /^ {2}"(\w+)": (\{?)/.exec(line) ?? [];
    if (name !== undefined) inside = running.has(name);
    const number = inside ? /^( +"\w+": )(-?[\d.e+-]+)(,?)$/.exec(line) : null;
    if (number === null) {
      text.push(line);
      lasting.push(line);
    } else {
      const [, before = '', value = '', after = ''] = number;
      text.push(`${before}${value.padStart(NUMBER_WIDTH)}${after}`);
      lasting.push(before);
    }
    if (opens === '' || line.startsWith('  }')) inside = false;
  }
  return { text: text.join('\n'), lasting: lasting.join('\n') };
}
