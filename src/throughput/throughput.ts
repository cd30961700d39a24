/**
 * Measures how fast a checkpoint reads on this machine, natively and through a mount. The reader is always a process of its own, neither the
 * server nor this one. Both sides read the same bytes with the same calls in the same order. "Cold" means that the checkpoint's pages were dropped
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
import { type ServedMount, serveMount } from './served-mount.ts';
import { chooseRanges, type TensorRange } from './tensor-ranges.ts';

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

export interface ThroughputReport {
  readonly checkpoint: string;
  readonly transport: string;
  /** Number of tensors read, and their size in bytes. */
  readonly tensors: number;
  readonly bytes: number;
  readonly rows: readonly ThroughputRow[];
}

export interface ThroughputRow {
  readonly what: string;
  readonly unit: 'GB/s' | 'reads/s';
  /** Undefined when it could not be measured; `reason` says why then. */
  readonly measured?: {
    readonly native: MeasuredSide;
    readonly mount: MeasuredSide;
    /** Mount ÷ native. */
    readonly ratio: number;
  };
  readonly reason?: string;
}

export interface MeasuredSide extends ReadOutcome {
  /** In the row's unit. */
  readonly rate: number;
}

export async function measureThroughput(
  checkpoint: string,
  options: ThroughputOptions,
): Promise<ThroughputReport> {
  // Opening the file here gives a better error for a bad file than a server that ends.
  await (await openCheckpoint(checkpoint)).close();
  const ranges = await rangesOf(checkpoint, options);
  const session = new Measurement(checkpoint, ranges, options);
  const rows = [
    await session.cold('sequential'),
    await session.cold('scattered'),
    ...(await session.cached()),
  ];
  const bytes = ranges.reduce((sum, range) => sum + range.length, 0);
  return { checkpoint, transport: options.transport, tensors: ranges.length, bytes, rows };
}

async function rangesOf(checkpoint: string, options: ThroughputOptions): Promise<TensorRange[]> {
  const mount = await serveMount(checkpoint, options.transport, options.signal);
  try {
    const json = await readFile(path.join(mount.mountpoint, 'sys', 'tensors.json'), 'utf8');
    const ranges = chooseRanges(json, Math.min(MOST_BYTES, Math.floor(freemem() / 3)));
    if (ranges.length > 0) return ranges;
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

type Order = ReadPlan['order'];

const WHAT: Record<Order, string> = { sequential: 'sequential', scattered: 'random 4 KiB' };
const UNIT: Record<Order, ThroughputRow['unit']> = { sequential: 'GB/s', scattered: 'reads/s' };

class Measurement {
  readonly #checkpoint: string;
  readonly #ranges: readonly TensorRange[];
  readonly #options: ThroughputOptions;
  #done = 0;
  /** Total number of measurements: 4 cold, 6 cached. */
  static readonly #steps = 10;

  constructor(checkpoint: string, ranges: readonly TensorRange[], options: ThroughputOptions) {
    this.#checkpoint = checkpoint;
    this.#ranges = ranges;
    this.#options = options;
  }

  async cold(order: Order): Promise<ThroughputRow> {
    const row = { what: `${WHAT[order]}, cold`, unit: UNIT[order] };
    const impossible = this.#tooSmall(order) ?? (await this.#evict());
    if (impossible) {
      this.#done += 2;
      return { ...row, reason: impossible };
    }
    const native = await this.#read(`${row.what}, native`, order, this.#nativePieces());
    if (!cameFromDisk(native)) {
      this.#done += 1;
      const reason = `no disk was read after the checkpoint's pages were dropped (tmpfs, a network, or another process maps it)`;
      return { ...row, reason };
    }
    await this.#evict();
    const mount = await this.#freshMount((served) =>
      this.#read(`${row.what}, mount`, order, this.#mountPieces(served), served.pid),
    );
    return compared(row, native, mount);
  }

  async cached(): Promise<ThroughputRow[]> {
    const warmUp = await this.#read(
      'bringing the checkpoint into memory',
      'sequential',
      this.#nativePieces(),
    );
    const ranges = cut(this.#ranges, warmUp.bytes);
    const stream = await this.#read('sequential, cached, native', 'sequential', this.#nativePieces(ranges));
    const [first, second] = await this.#freshMount(async (served) => {
      const pieces = this.#mountPieces(served, ranges);
      return [
        await this.#read('sequential, cached, mount', 'sequential', pieces),
        await this.#read('read again, mount', 'sequential', pieces),
      ] as const;
    });
    return [
      compared({ what: 'sequential, cached', unit: 'GB/s' }, stream, first),
      compared({ what: 'sequential, read again', unit: 'GB/s' }, stream, second),
      await this.#cachedAtRandom(ranges),
    ];
  }

  async #cachedAtRandom(ranges: readonly TensorRange[]): Promise<ThroughputRow> {
    const row = { what: 'random 4 KiB, cached', unit: 'reads/s' } as const;
    const reason = this.#tooSmall('scattered');
    if (reason) {
      this.#done += 2;
      return { ...row, reason };
    }
    const native = await this.#read(`${row.what}, native`, 'scattered', this.#nativePieces(ranges));
    const mount = await this.#freshMount((served) =>
      this.#read(`${row.what}, mount`, 'scattered', this.#mountPieces(served, ranges)),
    );
    return compared(row, native, mount);
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
    this.#options.onProgress({ done: this.#done, of: Measurement.#steps, what });
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
    this.#options.onProgress({ done: this.#done, of: Measurement.#steps, what });
    if (server === undefined) return outcome;
    return {
      ...outcome,
      diskBytes: before === undefined || after === undefined ? undefined : after - before,
    };
  }

  async #freshMount<Result>(use: (served: ServedMount) => Promise<Result>): Promise<Result> {
    const served = await serveMount(this.#checkpoint, this.#options.transport, this.#options.signal);
    try {
      return await use(served);
    } finally {
      await served.end();
    }
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

function compared(
  row: Pick<ThroughputRow, 'what' | 'unit'>,
  native: ReadOutcome,
  mount: ReadOutcome,
): ThroughputRow {
  const rate = (outcome: ReadOutcome) =>
    row.unit === 'GB/s' ? outcome.bytes / outcome.seconds / 1e9 : outcome.reads / outcome.seconds;
  const [nativeRate, mountRate] = [rate(native), rate(mount)];
  return {
    ...row,
    measured: {
      native: { ...native, rate: nativeRate },
      mount: { ...mount, rate: mountRate },
      ratio: mountRate / nativeRate,
    },
  };
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
