import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { loadNative } from './native.ts';

/** A file or folder, and the path that should lead to it. */
export interface PlacedName extends Pick<fs.Stats, 'dev' | 'ino'> {
  readonly path: string;
}

const lstat = promisify(fs.lstat);

/**
 * Where an open file should be found: its own path, and the paths of the folders that were opened to reach it. Checking the file's path
 * alone is not enough: a folder above could be replaced by a link to its old self, or by a folder with a hard link of the file.
 */
export class FilePlace {
  readonly #names: readonly PlacedName[];
  /** Whether the file system answers from this machine's memory. */
  readonly #local: boolean;
  /** The addon's own check. */
  readonly native: { isInPlace(): boolean } | undefined;

  constructor(names: readonly PlacedName[], local: boolean) {
    this.#names = names;
    this.#local = local;
    const Native = local ? loadNative()?.FilePlace : undefined;
    const numbers = Float64Array.from(names.flatMap(({ dev, ino }) => [dev, ino]));
    this.native =
      Native &&
      new Native(
        names.map(({ path }) => path),
        numbers,
      );
  }

  /** Looks synchronously where that cannot wait for another machine: a thread would cost more than the write that follows. */
  isInPlace(): boolean | Promise<boolean> {
    if (this.native !== undefined) return this.native.isInPlace();
    return this.#local ? this.#names.every(isInPlaceNow) : this.#areInPlace();
  }

  async #areInPlace(): Promise<boolean> {
    for (const name of this.#names) {
      const found = await lstat(name.path).catch(() => undefined);
      if (!isIt(name, found)) return false;
    }
    return true;
  }
}

function isInPlaceNow(name: PlacedName): boolean {
  try {
    return isIt(name, fs.lstatSync(name.path, { throwIfNoEntry: false }));
  } catch {
    return false;
  }
}

function isIt({ dev, ino }: PlacedName, found: fs.Stats | undefined): boolean {
  return found !== undefined && found.ino === ino && found.dev === dev;
}
