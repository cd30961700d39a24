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

const NO_VIEW = { state: 'off', files: 0, bytes: 0, loopDevices: 0 } as const;

export class KernelViews {
  readonly #log: Log;
  /** Why this mount has no view; undefined where it may have one. */
  readonly #refusal: string | undefined;
  #slots: ViewSlots | undefined;
  #view: KernelView | undefined;
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
    return this.#view?.report ?? { ...NO_VIEW, reason: this.#refusal ?? 'the mount has just begun' };
  }

  /** Begins the view of the first tree, for which the transport already waits. */
  begin(slots: ViewSlots | undefined, shown: ShownTree): void {
    if (!this.wanted || slots === undefined) return;
    this.#slots = slots;
    this.#begin(slots.first, shown);
  }

  /** Another tree replaces the present one. Called before its inodes can be opened. */
  replace(shown: ShownTree): void {
    if (this.#slots === undefined) return;
    this.#endView();
    const { firstNodeid: first, built } = shown;
    this.#begin(this.#slots.expect({ first, end: built.tree.nextNodeid }), shown);
  }

  /** The checkpoint file is not the one that was opened: what is opened anew is served by the data plane. */
  suspend(suspended: boolean): void {
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

  #begin(native: NativeKernelView, { built, image }: ShownTree): void {
    const { fd } = image.base;
    const view = new KernelView(native, {
      ranges: () => oneRangeFiles(built.tree, image),
      checkpointFd: fd ?? -1,
      checkpointBytes: image.size,
      onDecided: (report) => this.#tell(report),
    });
    this.#view = view;
    const refusal = fd === undefined ? 'the checkpoint is not a local file' : this.#slots?.refusal;
    if (refusal === undefined) view.start();
    else view.refuse(refusal);
  }

  #tell({ state, reason, files, bytes, loopDevices }: KernelViewReport): void {
    if (state === 'in use') {
      this.#log.info('the kernel reads tensors by itself', { files, bytes, loop_devices: loopDevices });
    } else this.#log.info(`no kernel view: ${reason}`);
  }
}

function refusalOf(options: {
  readonly choice: KernelViewChoice;
  readonly readOnly: boolean;
  readonly transport: string;
}): string | undefined {
  if (options.choice === 'off') return '--kernel-view is off';
  if (!options.readOnly) return 'the mount is writable';
  if (options.transport !== 'kernel') return `the transport is ${options.transport}`;
  if (process.geteuid?.() !== 0) return 'only root may attach it (CAP_SYS_ADMIN)';
  return undefined;
}
