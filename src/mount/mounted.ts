import type { Transport } from '../fuse/transport/transport.ts';
import type { CommitReport } from '../storage/commit-report.ts';
import type { CommitRequest } from '../targets/edit-target.ts';
import type { StatusDocument } from '../targets/status-document.ts';

export interface MountSummary {
  /** Tensors by name. */
  readonly tensors: number;
  /** Their bytes, tied ones once. */
  readonly bytes: number;
  readonly milliseconds: number;
  readonly transport: Transport['name'];
  /** Where the metrics are scraped, when an address was given. */
  readonly metricsUrl?: string | undefined;
}

export interface Mounted {
  /** Absolute, without symbolic links. */
  readonly mountpoint: string;
  readonly summary: MountSummary;
  /**
   * Resolves when the mount is gone, whoever unmounted it, and the checkpoint is closed. Rejects when it was to write back and could not:
   * the edits are in the journal then.
   */
  readonly closed: Promise<void>;
  /** Throws ERR_MLFS_BUSY while somebody uses the mount, unless `lazy`: then it vanishes from sight now and ends with its last user. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
  /** Folds the edits into the checkpoint file, or with `to` into a new one. */
  commit(request?: CommitRequest): Promise<CommitReport>;
  /** Drops the edits. */
  discard(): Promise<CommitReport>;
  /** Makes every edit durable. */
  flush(): Promise<void>;
  /** Shows the file that has the checkpoint's name now. */
  reload(): Promise<object>;
  /** What /sys/status.json says. */
  status(): Promise<StatusDocument>;
}
