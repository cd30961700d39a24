import { diskMedium } from '../../../../src/storage/disk-medium.ts';
import {
  Journal,
  type JournalOptions,
  type JournalVisitor,
} from '../../../../src/storage/journal/journal.ts';
import type { Medium } from '../../../../src/storage/medium.ts';
import type { Placement } from '../../../../src/storage/overlay.ts';

interface Visited {
  readonly text: string;
  readonly placement?: Placement;
  readonly length?: number;
}

/** Writes down what a replay visits. */
export class Recorder implements JournalVisitor {
  #visited: Visited[] = [];

  write(offset: number, length: number, placement: Placement): void {
    this.#visited.push({ text: `${offset}:`, length, placement });
  }

  commit(note: string, segment: number): void {
    this.#visited.push({ text: `commit ${note} in ${segment}` });
  }

  /** Forgets what was before, whose bytes may be gone. */
  discard(): void {
    this.#visited = [{ text: 'discard' }];
  }

  /** `OFFSET:BYTES` of each write, in order. */
  async events(): Promise<string[]> {
    const events: string[] = [];
    for (const { text, placement, length = 0 } of this.#visited) {
      const bytes = placement === undefined ? '' : await placement.file.read(placement.fileOffset, length);
      events.push(text + bytes.toString('latin1'));
    }
    return events;
  }
}

/** What the next opening of a journal finds; it is closed again. */
export async function replayed(
  directory: string,
  { medium = diskMedium, ...options }: JournalOptions & { readonly medium?: Medium } = {},
): Promise<string[]> {
  const recorder = new Recorder();
  const journal = await Journal.open(medium, directory, recorder, options);
  try {
    return await recorder.events();
  } finally {
    await journal.close();
  }
}

/** A write of the bytes of a text. */
export function put(offset: number, text: string): { readonly offset: number; readonly bytes: Buffer } {
  return { offset, bytes: Buffer.from(text, 'latin1') };
}
