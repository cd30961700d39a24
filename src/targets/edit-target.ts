/** Operations on the uncommitted edits of a checkpoint, mounted or not. */
import type { CommitReport } from '../storage/edits.ts';
import type { Progress } from '../storage/fold.ts';
import type { TargetStatus } from './status-document.ts';

export interface EditTarget {
  /** The mount point of the mount that is asked. */
  readonly mountpoint: string | undefined;
  commit(request: CommitRequest): Promise<CommitReport>;
  discard(): Promise<CommitReport>;
  flush(): Promise<void>;
  status(): Promise<TargetStatus>;
}

export interface CommitRequest {
  /** Absolute path: write the checkpoint with its edits there, and leave both unchanged. */
  readonly to?: string | undefined;
  /** Replace an existing file at `to`. */
  readonly overwrite?: boolean;
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: Progress) => void;
}
