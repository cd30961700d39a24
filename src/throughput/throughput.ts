/**
 * Measures how fast a checkpoint reads on this machine: natively, through a read-only mount and through a writable one. The reader is always a process of its own, neither the
 * server nor this one. All sides read the same bytes with the same calls in the same order. "Cold" means that the checkpoint's pages were dropped
 * and that the disk was then seen to be read; otherwise the figure is left out with a reason. A measurement that must not find pages in the kernel
 * gets a fresh mount.
 */
import { closeSync, fdatasyncSync, openSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { freemem } from 'node:os';
import path from 'node:path';
import { openCheckpoint } from '../checkpoint/open.ts';
import { MlfsError } from '../errors.ts';
import { loadNative, nativeLoadError } from '../storage/native.ts';
import { askChild } from './child-program.ts';
import { diskBytesOf } from './disk-bytes.ts';
import type { PlannedRead, ReadOutcome, ReadPlan } from './read-plan.ts';
import { type ServedBy, servedBy } from './served-by.ts';
import { type ServedMount, serveMount } from './served-mount.ts';
import { chooseRanges, type TensorRange } from './tensor-ranges.ts';
import {
  compared,
  type MountMode,
  type MountReport,
  type ThroughputReport,
  type ThroughputRow,
} from './throughput-report.ts';

const STREAM_BLOCK = 1 << 20;
const SMALL_BLOCK = 4096;
/** Large enough to measure, small enough to stay in the page cache. */
const MOST_BYTES = 4 * 2 ** 30;
/** Minimum share of the bytes of a cold read that must have come from the disk. */
const COLD_SHARE = 0.5;

export interface ThroughputOptions {
  /** Maximum time of each measurement. */
  readonly seconds: number;
  readonly transport: string;
  readonly signal: AbortSignal;
  readonly onProgress: (step: { readonly done: number; readonly of: number; readonly what: string }) => void;
}

export async function measureThroughput(
  checkpoint: string,
  options: ThroughputOptions,
): Promise<ThroughputReport> {
  // Opening the file here gives a better error for a bad file than a server that ends.
  await (await openCheckpoint(checkpoint)).close();
  const { ranges, servedBy } = await lookInto(checkpoint, options);
  const mounts: MountReport[] = [{ mode: 'read-only', servedBy }, await tryWritable(checkpoint, options)];
  const modes = mounts.filter((mount) => mount.servedBy !== undefined).map(({ mode }) => mode);
  const session = new Measurement(checkpoint, ranges, modes, options);
  const rows = [
    await session.cold('sequential'),
    await session.cold('scattered'),
    ...(await session.cached()),
  ];
  const bytes = ranges.reduce((sum, range) => sum + range.length, 0);
  return { checkpoint, tensors: ranges.length, bytes, mounts, rows };
}

/** A read-only mount says what is where, and who serves it. */
async function lookInto(checkpoint: string, { transport, signal }: ThroughputOptions) {
  const mount = await serveMount({ checkpoint, mode: 'read-only', transport, signal });
  try {
    const json = await readFile(path.join(mount.mountpoint, 'sys', 'tensors.json'), 'utf8');
    const ranges = chooseRanges(json, Math.min(MOST_BYTES, Math.floor(freemem() / 3)));
    if (ranges.length > 0) return { ranges, servedBy: await servedBy(mount.mountpoint) };
  } finally {
    await mount.end();
  }
  throw new MlfsError(
    'ERR_MLFS_TENSOR',
    `${checkpoint}: has no stored, contiguous tensor that could be read`,
    {
      path: checkpoint,
      advice: 'mlfs ls shows what is in it.',
    },
  );
}

/** A checkpoint that is mounted writable already, or in use by a command, can only be measured read-only. */
async function tryWritable(
  checkpoint: string,
  { transport, signal }: ThroughputOptions,
): Promise<MountReport> {
  const mode = 'writable';
  try {
    const mount = await serveMount({ checkpoint, mode, transport, signal });
    try {
      return { mode, servedBy: await servedBy(mount.mountpoint) };
    } finally {
      await mount.end();
    }
  } catch (cause) {
    if (!(cause instanceof MlfsError)) throw cause;
    return { mode, reason: cause.message };
  }
}

type Order = ReadPlan['order'];

const WHAT: Record<Order, string> = { sequential: 'sequential', scattered: 'random 4 KiB' };
const UNIT: Record<Order, ThroughputRow['unit']> = { sequential: 'GB/s', scattered: 'reads/s' };

class Measurement {
  readonly #checkpoint: string;
  readonly #ranges: readonly TensorRange[];
  readonly #options: ThroughputOptions;
  readonly #modes: readonly MountMode[];
  readonly #steps: number;
  #done = 0;

  constructor(
    checkpoint: string,
    ranges: readonly TensorRange[],
    modes: readonly MountMode[],
    options: ThroughputOptions,
  ) {
    this.#checkpoint = checkpoint;
    this.#ranges = ranges;
    this.#modes = modes;
    this.#options = options;
    // Two cold ones and a random one of each side, the warm-up, and a first pass natively and two through each mount.
    this.#steps = 5 + 5 * modes.length;
  }

  async cold(order: Order): Promise<ThroughputRow> {
    const row = { what: `${WHAT[order]}, cold`, unit: UNIT[order] };
    const impossible = this.#tooSmall(order) ?? (await this.#evict());
    if (impossible) {
      this.#done += 1 + this.#modes.length;
      return { ...row, reason: impossible };
    }
    const native = await this.#read(`${row.what}, native`, order, this.#nativePieces());
    if (!cameFromDisk(native)) {
      this.#done += this.#modes.length;
      const reason = `no disk was read after the checkpoint's pages were dropped (tmpfs, a network, or another process maps it)`;
      return { ...row, reason };
    }
    const mounts = await this.#eachMount(async (mode, served, { server }) => {
      await this.#evict();
      // Through a kernel view the reading process itself asks the disk.
      const pid = server === 'kernel view' ? undefined : served.pid;
      return this.#read(`${row.what}, ${mode} mount`, order, this.#mountPieces(served), pid);
    });
    return compared(row, native, mounts);
  }

  async cached(): Promise<ThroughputRow[]> {
    const warmUp = await this.#read(
      'bringing the checkpoint into memory',
      'sequential',
      this.#nativePieces(),
    );
    const ranges = cut(this.#ranges, warmUp.bytes);
    const stream = await this.#read('sequential, cached, native', 'sequential', this.#nativePieces(ranges));
    const passes = await this.#eachMount(async (mode, served) => {
      const pieces = this.#mountPieces(served, ranges);
      const first = await this.#read(`sequential, cached, ${mode} mount`, 'sequential', pieces);
      const second = await this.#read(`read again, ${mode} mount`, 'sequential', pieces);
      return { first, second };
    });
    const pass = (which: 'first' | 'second') =>
      passes.map(({ mode, outcome }) => ({ mode, outcome: outcome[which] }));
    return [
      compared({ what: 'sequential, cached', unit: 'GB/s' }, stream, pass('first')),
      compared({ what: 'sequential, read again', unit: 'GB/s' }, stream, pass('second')),
      await this.#cachedAtRandom(ranges),
    ];
  }

  async #cachedAtRandom(ranges: readonly TensorRange[]): Promise<ThroughputRow> {
    const row = { what: 'random 4 KiB, cached', unit: 'reads/s' } as const;
    const reason = this.#tooSmall('scattered');
    if (reason) {
      this.#done += 1 + this.#modes.length;
      return { ...row, reason };
    }
    const native = await this.#read(`${row.what}, native`, 'scattered', this.#nativePieces(ranges));
    const mounts = await this.#eachMount((mode, served) =>
      this.#read(`${row.what}, ${mode} mount`, 'scattered', this.#mountPieces(served, ranges)),
    );
    return compared(row, native, mounts);
  }

  #tooSmall(order: Order): string | undefined {
    if (order === 'sequential' || this.#ranges.some((range) => range.length >= SMALL_BLOCK)) return undefined;
    return 'no tensor is as large as 4 KiB';
  }

  async #read(
    what: string,
    order: Order,
    pieces: readonly PlannedRead[],
    server?: number,
  ): Promise<ReadOutcome> {
    this.#options.onProgress({ done: this.#done, of: this.#steps, what });
    const plan: ReadPlan = {
      order,
      pieces,
      blockBytes: order === 'sequential' ? STREAM_BLOCK : SMALL_BLOCK,
      seconds: this.#options.seconds,
    };
    const before = server === undefined ? undefined : diskBytesOf(server);
    const outcome = await askChild<ReadOutcome>('throughput/reading-process', plan, this.#options.signal);
    const after = server === undefined ? undefined : diskBytesOf(server);
    this.#done++;
    this.#options.onProgress({ done: this.#done, of: this.#steps, what });
    if (server === undefined) return outcome;
    return {
      ...outcome,
      diskBytes: before === undefined || after === undefined ? undefined : after - before,
    };
  }

  /** One fresh mount after the other. */
  async #eachMount<Outcome>(
    use: (mode: MountMode, served: ServedMount, by: ServedBy) => Promise<Outcome>,
  ): Promise<{ readonly mode: MountMode; readonly outcome: Outcome }[]> {
    const { transport, signal } = this.#options;
    const outcomes: { mode: MountMode; outcome: Outcome }[] = [];
    for (const mode of this.#modes) {
      const served = await serveMount({ checkpoint: this.#checkpoint, mode, transport, signal });
      try {
        // A view that is still being prepared would be measured half-way.
        const by = await servedBy(served.mountpoint);
        outcomes.push({ mode, outcome: await use(mode, served, by) });
      } finally {
        await served.end();
      }
    }
    return outcomes;
  }

  /** Drops the checkpoint's pages from the page cache, and no others; returns the reason when it cannot. */
  async #evict(): Promise<string | undefined> {
    const native = loadNative();
    if (!native)
      return `the page cache cannot be told to drop a file without the addon (${nativeLoadError()})`;
    const fd = openSync(this.#checkpoint, 'r');
    try {
      fdatasyncSync(fd);
      native.evictFromPageCache(fd, 0, (await stat(this.#checkpoint)).size);
      return undefined;
    } finally {
      closeSync(fd);
    }
  }

  #nativePieces(ranges = this.#ranges): PlannedRead[] {
    return ranges.map(({ offset, length }) => ({ path: this.#checkpoint, offset, length }));
  }

  #mountPieces(served: ServedMount, ranges = this.#ranges): PlannedRead[] {
    return ranges.map(({ file, length }) => ({
      path: path.join(served.mountpoint, file),
      offset: 0,
      length,
    }));
  }
}

function cameFromDisk(outcome: ReadOutcome): boolean {
  return outcome.diskBytes === undefined || outcome.diskBytes >= outcome.bytes * COLD_SHARE;
}

/** The ranges, cut after the first `bytes`. */
function cut(ranges: readonly TensorRange[], bytes: number): TensorRange[] {
  let left = bytes;
  return ranges.flatMap((range) => {
    const length = Math.min(range.length, left);
    left -= length;
    return length > 0 ? [{ ...range, length }] : [];
  });
}
