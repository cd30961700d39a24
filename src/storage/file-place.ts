import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { loadNative } from './native.ts';

/** A file or folder, and the path that should lead to it. */
export interface PlacedName extends Pick<fs.Stats, 'dev' | 'ino'> {
  readonly path: string;
}

const lstat = promisify(fs.lstat);

/**
 * Where an open file should be found: its own path, and those of the folders that were opened one after the other to reach it. A look at the
 * file's path alone would believe whatever takes the place of a folder above it: a link to where the folder was moved, or another folder with
 * a hard link of the file.
 */
export class FilePlace {
  readonly #names: readonly PlacedName[];
  /** Whether the file system answers from this machine's memory. */
  readonly #local: boolean;
  readonly #native: { isInPlace(): boolean } | undefined;

  constructor(names: readonly PlacedName[], local: boolean) {
    this.#names = names;
    this.#local = local;
    const Native = local ? loadNative()?.FilePlace : undefined;
    const numbers = Float64Array.from(names.flatMap(({ dev, ino }) => [dev, ino]));
    this.#native =
      Native &&
      new Native(
        names.map(({ path }) => path),
        numbers,
      );
  }

  /** Looks at once where that cannot wait for another machine: a thread's detour costs more than the write that it goes along with. */
  isInPlace(): boolean | Promise<boolean> {
    if (this.#native !== undefined) return this.#native.isInPlace();
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
