import type { NativeReadTally } from '../../storage/native.ts';
import type { Filesystem } from '../filesystem.ts';
import type { NativeReads } from './transport.ts';

/** kRooms of native/read_tally.h. */
const MOST_ROOMS = 16;

/** The data plane counts its reads by room, and identifies rooms by number: in the order of the first open in each. */
export class NativeRooms {
  readonly #filesystem: Pick<Filesystem, 'roomOf'>;
  readonly #names: string[] = [];

  constructor(filesystem: Pick<Filesystem, 'roomOf'>) {
    this.#filesystem = filesystem;
  }

  /** The number of an inode's room; rooms beyond the maximum are counted with the last. */
  numberOf(nodeid: number): number {
    return this.numberOfRoom(this.#filesystem.roomOf?.(nodeid) ?? '');
  }

  /** The number of a room. */
  numberOfRoom(name: string): number {
    const known = this.#names.indexOf(name);
    if (known >= 0) return known;
    return this.#names.length === MOST_ROOMS ? MOST_ROOMS - 1 : this.#names.push(name) - 1;
  }

  /** Numbers of the rooms, by their names. */
  named(numbers: ArrayLike<number>): ReadonlyMap<string, number> {
    return new Map(this.#names.map((name, number) => [name, numbers[number] ?? 0]));
  }

  /** The counts by the name of the room. */
  reads({ bounds, rooms }: NativeReadTally): ReadonlyMap<string, NativeReads> {
    return new Map(
      rooms.slice(0, this.#names.length).flatMap(({ bytes, seconds, durations }, number) => {
        const name = this.#names[number] ?? '';
        // Rows outside of all rooms are folders.
        if (name === '') return [];
        return [[name, { bytes, seconds: { bounds, counts: durations, sum: seconds } }] as const];
      }),
    );
  }
}
