import { LRUCache } from 'lru-cache';
import type { MediumFile } from '../storage/medium.ts';
import { unnamedFile } from '../storage/unnamed-file.ts';
import { arrayCsv } from './array-csv.ts';
import { read, type Stat } from './host-files.ts';
import { Leases, type ValueLease } from './leases.ts';

/** Maximum number of texts that are kept, each in a nameless file. */
const MOST_TEXTS = 16;
/** Maximum number of sizes that are remembered, so that a listing renders each text only once. */
const MOST_SIZES = 65_536;
/** A file that changed this recently may change again without a change of its mtime. */
const SETTLED_MS = 100;

/** The text of an array at one point in time. */
export interface CsvText {
  readonly size: number;
  readonly file: MediumFile;
}

/** The texts beside arrays: rendered into nameless files at the first request for the text or its size, and kept until the array changes. */
export class CsvFiles {
  readonly #folder: string;
  readonly #sizes = new LRUCache<string, number>({ max: MOST_SIZES });
  readonly #texts = new Leases<string, CsvText>(
    MOST_TEXTS,
    ({ file }) => void file.close().catch(() => undefined),
  );

  /** `folder` is on the file system for the nameless files. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The text of the open array. */
  async take(name: string, fd: number, stat: Stat): Promise<ValueLease<CsvText>> {
    const version = versionOf(stat);
    const lease = await this.#texts.take(version, () => this.#render(name, fd, stat));
    if (Date.now() - Number(stat.mtimeNs / 1_000_000n) < SETTLED_MS) this.#texts.drop(version);
    else this.#sizes.set(version, lease.value.size);
    return lease;
  }

  /** The size of the text, if it is known without rendering. */
  knownSize(stat: Stat): number | undefined {
    return this.#sizes.get(versionOf(stat));
  }

  close(): void {
    this.#texts.dropAll();
  }

  async #render(name: string, fd: number, stat: Stat): Promise<CsvText> {
    const file = await unnamedFile(this.#folder);
    try {
      let size = 0;
      const pieces = arrayCsv(name, Number(stat.size), (offset, length) => read(fd, offset, length));
      for await (const piece of pieces) {
        await file.write(size, [piece]);
        size += piece.byteLength;
      }
      return { size, file };
    } catch (cause) {
      await file.close();
      throw cause;
    }
  }
}

function versionOf({ dev, ino, size, mtimeNs, ctimeNs }: Stat): string {
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}
