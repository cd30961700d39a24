import type { Image } from '../../storage/image.ts';
import type { NativeSession } from '../../storage/native.ts';
import type { LaneRun, LaneTarget, LaneWrite, LaneWrites, WriteLane } from '../../storage/write-lane.ts';
import type { Filesystem, NativeWrites, WritesInPlace } from '../filesystem.ts';
import type { PublishedImages } from './published-images.ts';

/** How long what the data plane wrote may wait until JavaScript takes it up, if nobody asks. */
const TAKE_AFTER_MS = 50;
/** kCapacity of native/inode_table.h: references to inodes beyond are not counted there. */
const FIRST_UNCOUNTED_NODEID = 2 ** 28;

interface Lane extends WriteLane {
  readonly handles: Set<number>;
  /** An `idle` event of the data plane. */
  idle(): void;
  end(): void;
}

/** The write lanes of a session: which open files are written by the data plane, and where. */
export class NativeWriteLanes implements NativeWrites {
  readonly #native: NativeSession;
  readonly #images: PublishedImages;
  readonly #filesystem: Filesystem;
  readonly #lanes = new Map<Image, Lane>();
  readonly #granted = new Map<number, { readonly nodeid: number; readonly image: Image }>();
  /** Whether the data plane may believe of any grant that it is alone. */
  #someAlone = false;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(native: NativeSession, images: PublishedImages, filesystem: Filesystem) {
    this.#native = native;
    this.#images = images;
    this.#filesystem = filesystem;
  }

  grant(nodeid: number, handle: number, { image, offset, size, others }: WritesInPlace): void {
    if (this.#ended || nodeid >= FIRST_UNCOUNTED_NODEID || size === 0) return;
    let lane = this.#lanes.get(image);
    const file = this.#images.indexOf(image);
    // Asked here and not when the file was opened: since then the kernel may have got references to others.
    const alone = this.#filesystem.isWrittenAlone?.(nodeid) === true;
    this.#native.grantWrites(handle, nodeid, offset, size, file, Uint32Array.from(others), alone);
    if (lane === undefined) {
      lane = this.#laneOf(file);
      this.#lanes.set(image, lane);
      this.#images.hold(lane, new Set([image]));
      image.lane = lane;
    }
    lane.handles.add(handle);
    this.#granted.set(handle, { nodeid, image });
    if (alone) this.#someAlone = true;
  }

  revoke(handle: number): void {
    const granted = this.#granted.get(handle);
    if (granted === undefined || this.#ended) return;
    this.#granted.delete(handle);
    this.#native.revokeWrites(handle);
    const lane = this.#lanes.get(granted.image);
    lane?.handles.delete(handle);
    if (lane?.handles.size === 0) void this.#retire(granted.image, lane);
  }

  /** Handles of joined file systems have the same numbers: those have other nodeids. */
  released(nodeid: number, handle: number): void {
    if (this.#granted.get(handle)?.nodeid === nodeid) this.revoke(handle);
  }

  noneAlone(): void {
    if (!this.#someAlone || this.#ended) return;
    this.#someAlone = false;
    this.#native.noWritesAlone();
  }

  catchUp(): void {
    if (this.#lanes.size === 0 || this.#ended) return;
    for (const image of this.#lanes.keys()) image.catchUp();
  }

  /** An event of the data plane. */
  on(event: 'written' | 'logged' | 'idle', number: number, reply: Uint8Array): void {
    if (this.#ended) return;
    if (event === 'logged') this.#takeSoon();
    else if (event === 'idle') {
      for (const [image, lane] of this.#lanes) if (this.#images.indexOf(image) === number) lane.idle();
    } else void this.#written(number, reply);
  }

  /** Takes up the last writes; nothing is written any more. Must be called before the session is closed. */
  end(): void {
    if (this.#ended) return;
    this.catchUp();
    clearTimeout(this.#timer);
    this.#ended = true;
    for (const [image, lane] of this.#lanes) {
      lane.end();
      if (image.lane === lane) image.lane = undefined;
    }
    this.#lanes.clear();
  }

  async #written(nodeid: number, reply: Uint8Array): Promise<void> {
    this.catchUp();
    await this.#filesystem.settleWritten?.(nodeid);
    if (this.#ended) return;
    this.#native.reply(reply);
    if (this.#filesystem.isWrittenAlone?.(nodeid) !== true) return;
    this.#someAlone = true;
    for (const [handle, granted] of this.#granted)
      if (granted.nodeid === nodeid) this.#native.writesAlone(handle);
  }

  #takeSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.catchUp();
    }, TAKE_AFTER_MS).unref();
  }

  /** Nothing is written to the image natively any more: it is not held for that. */
  async #retire(image: Image, lane: Lane): Promise<void> {
    await lane.close();
    if (this.#ended || lane.handles.size > 0 || this.#lanes.get(image) !== lane) return;
    image.catchUp();
    this.#lanes.delete(image);
    if (image.lane === lane) image.lane = undefined;
    this.#native.removeLane(this.#images.indexOf(image));
    lane.end();
    this.#images.hold(lane, new Set());
  }

  #laneOf(file: number): Lane {
    const handles = new Set<number>();
    const native = this.#native;
    const images = this.#images;
    const wrote = (writes: readonly LaneWrite[]) => {
      for (const { nodeid, bytes } of writes) this.#filesystem.wroteNatively?.(nodeid, bytes);
    };
    let ended = false;
    /** Something may have been written since the last `take`. */
    let isOpen = false;
    let mayHaveWrites = false;
    let target: LaneTarget | undefined;
    /** A closed lane keeps no segment: who commits or discards gets its disk space, whatever is still open. */
    const release = () => {
      if (target !== undefined) images.releaseSegment(target.file);
      target = undefined;
    };
    let closing: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
    return {
      handles,
      get wanted() {
        return handles.size > 0 && !ended;
      },
      open(next) {
        if (ended) return;
        const segment = images.holdSegment(next.file);
        release();
        target = next;
        const numbers = Float64Array.of(next.position, next.sequence, next.durable, next.roomBytes);
        native.openLane(file, segment, next.place, numbers);
        isOpen = true;
        mayHaveWrites = true;
      },
      close() {
        if (ended || !isOpen) return closing?.promise ?? Promise.resolve();
        isOpen = false;
        if (native.closeLane(file)) return Promise.resolve();
        let resolve: () => void = () => undefined;
        const promise = new Promise<void>((done) => {
          resolve = done;
        });
        closing = { promise, resolve };
        return promise;
      },
      idle() {
        closing?.resolve();
        closing = undefined;
      },
      take() {
        if (ended || !mayHaveWrites) return undefined;
        const numbers = native.takeWrites(file);
        if (!isOpen && closing === undefined) mayHaveWrites = false;
        if (numbers === undefined) {
          if (!mayHaveWrites) release();
          return undefined;
        }
        const taken = decoded(numbers);
        if (taken.torn) isOpen = false;
        wrote(taken.writes);
        return taken;
      },
      applied() {
        if (ended) return;
        native.writesApplied(file);
        // Not before: until now only the lane kept a segment that no chunk had pieces in.
        if (!mayHaveWrites) release();
      },
      setDurable(sequence) {
        if (!ended && isOpen) native.laneDurable(file, sequence);
      },
      end() {
        ended = true;
        closing?.resolve();
        closing = undefined;
        release();
      },
    };
  }
}

/** What native/write_binding.cc returns for `takeWrites`. */
function decoded(numbers: Float64Array): LaneWrites {
  const writes: LaneWrite[] = [];
  const count = numbers[1] as number;
  let run = 2 + 4 * count;
  for (let at = 2; writes.length < count; at += 4) {
    const [nodeid, bytes, atMs, runCount] = numbers.subarray(at, at + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const runs: LaneRun[] = [];
    for (; runs.length < runCount; run += 4) {
      runs.push({
        start: numbers[run] as number,
        end: numbers[run + 1] as number,
        fileOffset: numbers[run + 2] as number,
        difference: numbers[run + 3] as number,
      });
    }
    writes.push({ nodeid, bytes, atMs, runs });
  }
  return { writes, torn: numbers[0] === 1 };
}
