import type { Transport } from '../fuse/transport/transport.ts';
import type { CommitReport } from '../storage/commit-report.ts';
import type { CommitRequest } from '../targets/edit-target.ts';
import type { StatusDocument } from '../targets/status-document.ts';

export interface MountSummary {
  /** Number of tensors by name. */
  readonly tensors: number;
  /** Their bytes; tied tensors count once. */
  readonly bytes: number;
  readonly milliseconds: number;
  readonly transport: Transport['name'];
  /** Address of the metrics server, when there is one. */
  readonly metricsUrl?: string | undefined;
}

export interface Mounted {
  /** Absolute path without symbolic links. */
  readonly mountpoint: string;
  readonly summary: MountSummary;
  /**
   * Resolves when the mount is gone, whoever unmounted it, and the checkpoint is closed. Rejects when edits were to be written back and
   * could not be; they are in the journal then.
   */
  readonly closed: Promise<void>;
  /** Throws ERR_MLFS_BUSY while the mount is in use. With `lazy` the mount is detached at once and ends when its last user is done. */
  unmount(options?: { readonly lazy?: boolean }): Promise<void>;
  /** Folds the edits into the checkpoint file, or with `to` writes a new file. */
  commit(request?: CommitRequest): Promise<CommitReport>;
  /** Drops the edits. When it resolves, every reader sees the bytes of the checkpoint. */
  discard(): Promise<CommitReport>;
  /** Makes every edit durable. */
  flush(): Promise<void>;
  /** Shows the file that has the checkpoint's name now. */
  reload(): Promise<object>;
  /** The contents of /sys/status.json. */
  status(): Promise<StatusDocument>;
}
