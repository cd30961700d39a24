import { Histogram } from '../telemetry/histogram.ts';
import type { MaybePromise } from './filesystem.ts';
import { after } from './maybe-promise.ts';

/** The same bounds as in the data plane (kBoundsNanoseconds of native/read_tally.h). */
const READ_SECONDS = [4e-6, 16e-6, 64e-6, 256e-6, 1e-3, 4e-3, 16e-3, 64e-3, 256e-3, 1, 4];

/** Counts for the files of one room. */
export class RoomTraffic {
  readonly readSeconds = new Histogram(READ_SECONDS);
  readBytes = 0;
  writes = 0;
  writeBytes = 0;
  /** Files that are open. */
  openFiles = 0;
}

/**
 * Counts the requests that go through JavaScript, by room. The data plane counts the reads that it answers itself. What the kernel reads and
 * writes itself (its page cache, passthrough) is not counted.
 */
export class Traffic {
  readonly #rooms = new Map<string, RoomTraffic>();

  get rooms(): ReadonlyMap<string, RoomTraffic> {
    return this.#rooms;
  }

  /** Rooms that are listed whether anything was done there or not. */
  expect(rooms: Iterable<string>): void {
    for (const room of rooms) this.#of(room);
  }

  /** Carries out a read and counts it when it is answered; a refused read is not counted. */
  reading(room: string, read: () => MaybePromise<Uint8Array>): MaybePromise<Uint8Array> {
    const beganMs = performance.now();
    return after(read(), (bytes) => {
      const traffic = this.#of(room);
      traffic.readBytes += bytes.byteLength;
      traffic.readSeconds.observe((performance.now() - beganMs) / 1000);
      return bytes;
    });
  }

  wrote(room: string, bytes: number): void {
    const traffic = this.#of(room);
    traffic.writes++;
    traffic.writeBytes += bytes;
  }

  opened(room: string): void {
    this.#of(room).openFiles++;
  }

  released(room: string): void {
    this.#of(room).openFiles--;
  }

  #of(room: string): RoomTraffic {
    let traffic = this.#rooms.get(room);
    if (traffic === undefined) {
      traffic = new RoomTraffic();
      this.#rooms.set(room, traffic);
    }
    return traffic;
  }
}
