/** The kernel view of a mount, and of each checkpoint that replaces the first one. */

import { KernelView, type KernelViewReport } from '../kernel-view/kernel-view.ts';
import type { ViewSlots } from '../kernel-view/view-slot.ts';
import type { Image } from '../storage/image.ts';
import type { NativeKernelView } from '../storage/native.ts';
import type { Log } from '../telemetry/log.ts';
import type { BuiltTree } from '../tree/build-tree.ts';
import { oneRangeFiles } from '../tree/one-range-files.ts';

export type KernelViewChoice = 'auto' | 'off';

/** A tree that is shown, and the image of its checkpoint. */
export interface ShownTree {
  readonly built: BuiltTree;
  readonly firstNodeid: number;
  readonly image: Image;
}

interface Refusal {
  readonly reason: string;
  /** Whether it belongs in the log: not what the user asked for. */
  readonly isNews: boolean;
}

const SUSPENDED = 'the checkpoint file was changed: files that are opened now are read through the server';

const NO_VIEW = { state: 'off', files: 0, bytes: 0, loopDevices: 0 } as const;

export class KernelViews {
  readonly #log: Log;
  /** Why this mount has no view; undefined where it may have one. */
  readonly #refusal: Refusal | undefined;
  #slots: ViewSlots | undefined;
  #view: KernelView | undefined;
  /** Replaced the first tree before the mount point answered. */
  #early: ShownTree | undefined;
  #suspended = false;
  #ending: Promise<void> = Promise.resolve();

  constructor(
    log: Log,
    options: { readonly choice: KernelViewChoice; readonly readOnly: boolean; readonly transport: string },
  ) {
    this.#log = log;
    this.#refusal = refusalOf(options);
  }

  /** Whether opens should wait for a view. */
  get wanted(): boolean {
    return this.#refusal === undefined;
  }

  get report(): KernelViewReport {
    if (this.#refusal !== undefined) return { ...NO_VIEW, reason: this.#refusal.reason };
    const report = this.#view?.report ?? { ...NO_VIEW, state: 'preparing' };
    return report.state === 'in use' && this.#suspended ? { ...report, reason: SUSPENDED } : report;
  }

  /** Begins the view of the tree that was mounted, for which the transport already waits. */
  begin(slots: ViewSlots | undefined, mounted: ShownTree): void {
    if (this.#refusal?.isNews) this.#tell(this.report);
    if (!this.wanted || slots === undefined) return;
    this.#slots = slots;
    if (this.#early === undefined) {
      this.#begin(slots.first, mounted);
    } else {
      slots.first.end();
      this.#beginLater(slots, this.#early);
      this.#early = undefined;
    }
  }

  /**
   * Another tree replaces the present one. Called before its inodes can be opened. Its file was opened just now, so its view is not suspended
   * until somebody who looks at the file says so.
   */
  replace(shown: ShownTree): void {
    this.#suspended = false;
    if (this.#slots === undefined) {
      this.#early = shown;
    } else {
      this.#endView();
      this.#beginLater(this.#slots, shown);
    }
  }

  /**
   * The checkpoint file is not the one that was opened: the data plane serves what is not open yet. This holds for the view of the
   * present tree, even if the view begins later.
   */
  suspend(suspended: boolean): void {
    this.#suspended = suspended;
    this.#view?.suspend(suspended);
  }

  async end(): Promise<void> {
    this.#endView();
    await this.#ending;
  }

  #endView(): void {
    const ended = this.#view?.end();
    this.#ending = Promise.all([this.#ending, ended]).then(() => undefined);
  }

  #beginLater(slots: ViewSlots, shown: ShownTree): void {
    const range = { first: shown.firstNodeid, end: shown.built.tree.nextNodeid };
    this.#begin(slots.expect(range), shown);
  }

  #begin(native: NativeKernelView, { built, image }: ShownTree): void {
    const { fd } = image.base;
    const view = new KernelView(native, {
      ranges: () => oneRangeFiles(built.tree, image),
      checkpointFd: fd ?? -1,
      checkpointBytes: image.size,
      onDecided: (report) => this.#tell(report),
      onSlow: (reason) => this.#log.warn(`opens wait no longer for the kernel view: ${reason}`),
    });
    this.#view = view;
    if (this.#suspended) view.suspend(true);
    const refusal = fd === undefined ? 'the checkpoint is not a local file' : this.#slots?.refusal;
    if (refusal === undefined) view.start();
    else view.refuse(refusal);
  }

  #tell({ state, reason, files, bytes, loopDevices }: KernelViewReport): void {
    if (state === 'in use') {
      this.#log.info('kernel view in use: the kernel reads these files by itself', {
        files,
        bytes,
        loop_devices: loopDevices,
      });
    } else this.#log.info(`no kernel view: ${reason}`);
  }
}

function refusalOf(options: {
  readonly choice: KernelViewChoice;
  readonly readOnly: boolean;
  readonly transport: string;
}): Refusal | undefined {
  if (options.choice === 'off') return { reason: '--kernel-view is off', isNews: false };
  if (!options.readOnly) return { reason: 'the mount is writable', isNews: false };
  if (options.transport !== 'kernel')
    return { reason: `the transport is ${options.transport}`, isNews: true };
  if (process.geteuid?.() !== 0) return { reason: 'only root may attach it (CAP_SYS_ADMIN)', isNews: true };
  return undefined;
}
