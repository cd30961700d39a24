/**
 * The kernel view of one checkpoint: files of a read-only mount that are one range of the checkpoint are files of an EROFS mount, too, which
 * is attached to no path. FUSE passthrough lets the kernel read them by itself, so that no READ reaches the server.
 *
 *   ranges of the tree ─► selectRanges ─► erofsImage ─► attach: loop devices, fsmount (native/view_mount.cc)
 *
 * This runs beside the mount's start, in slices and in a thread. Meanwhile OPENs of the files wait (native/view_opens.h). After PATIENCE_MS the
 * data plane serves them; the view is attached nevertheless and serves what is opened later. If a step fails, the data plane serves for good,
 * and `report` says why.
 */
import { messageOf } from '../errors.ts';
import { inSlices } from '../storage/in-slices.ts';
import type { NativeKernelView } from '../storage/native.ts';
import { erofsImage } from './erofs-image.ts';
import { type FileRanges, rangeCount } from './file-ranges.ts';
import { selectRanges } from './select-ranges.ts';

export interface KernelViewReport {
  readonly state: 'preparing' | 'in use' | 'off';
  /** Why it is off, why it is not ready yet after a while, or why it is in use only for files that are open. */
  readonly reason?: string;
  readonly files: number;
  readonly bytes: number;
  readonly loopDevices: number;
}

export interface KernelViewSources {
  /** The files that may be in it. */
  readonly ranges: () => Generator<void, FileRanges>;
  readonly checkpointFd: number;
  readonly checkpointBytes: number;
  /** Called once, when the view is in use or off. Not called for a view that was ended before. */
  readonly onDecided: (report: KernelViewReport) => void;
  /** Called when opens wait no longer, though the view is still being prepared. */
  readonly onSlow: (reason: string) => void;
}

/** Maximum time that OPENs wait for a view that is being prepared. */
const PATIENCE_MS = 5000;

const NOTHING = { files: 0, bytes: 0, loopDevices: 0 };

export class KernelView {
  readonly #native: NativeKernelView;
  readonly #sources: KernelViewSources;
  #report: KernelViewReport = { state: 'preparing', ...NOTHING };
  #prepared: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(native: NativeKernelView, sources: KernelViewSources) {
    this.#native = native;
    this.#sources = sources;
  }

  get report(): KernelViewReport {
    return this.#report;
  }

  /** Begins to prepare the view. */
  start(): void {
    const patience = setTimeout(() => this.#stopWaiting(), PATIENCE_MS);
    patience.unref();
    this.#prepared = this.#prepare()
      .catch((cause: unknown) => this.#giveUp(messageOf(cause)))
      .finally(() => clearTimeout(patience));
  }

  /** There is no view, for this reason. */
  refuse(reason: string): void {
    this.#giveUp(reason);
  }

  /** While suspended, the data plane serves files that are not open yet. */
  suspend(suspended: boolean): void {
    this.#native.suspend(suspended);
  }

  /** Gives the view back. Files that are open in it stay readable. Resolves when nothing is being prepared any more. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#native.end();
    await this.#prepared;
  }

  async #prepare(): Promise<void> {
    const { checkpointFd, checkpointBytes } = this.#sources;
    const isGivenUp = () => this.#decided;
    // Whoever waits for the mount point is told first.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#decided) return;
    const found = await inSlices(this.#sources.ranges(), isGivenUp);
    if (found === undefined) return;
    const selected = await inSlices(selectRanges(found, checkpointBytes), isGivenUp);
    if (selected === undefined || this.#decided) return;
    if (rangeCount(selected) === 0) {
      this.#giveUp('no file of the mount is one range of the checkpoint of at least 1 MiB');
      return;
    }
    this.#native.select(selected.nodeids);
    const image = await inSlices(erofsImage(selected, checkpointBytes), isGivenUp);
    if (image === undefined || this.#decided) return;
    const { bytes, copies, begins } = image;
    await this.#native.attach(checkpointFd, checkpointBytes, bytes, copies, begins);
    if (this.#decided) return;
    this.#decide({
      state: 'in use',
      files: rangeCount(selected),
      bytes: selected.lengths.reduce((sum, length) => sum + length, 0),
      // The image has one, too.
      loopDevices: begins.length + 1,
    });
  }

  #stopWaiting(): void {
    if (this.#decided) return;
    const reason = `it is not attached after ${PATIENCE_MS / 1000} s; the data plane serves until it is`;
    this.#native.stopWaiting();
    this.#report = { ...this.#report, reason };
    this.#sources.onSlow(reason);
  }

  get #decided(): boolean {
    return this.#ended || this.#report.state !== 'preparing';
  }

  #giveUp(reason: string): void {
    if (this.#decided) return;
    this.#native.end();
    this.#decide({ state: 'off', reason, ...NOTHING });
  }

  #decide(report: KernelViewReport): void {
    this.#report = report;
    this.#sources.onDecided(report);
  }
}
