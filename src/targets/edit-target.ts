/** What can be done with the uncommitted edits of a checkpoint, whoever holds them. */
import type { CommitReport } from '../storage/edits.ts';
import type { Progress } from '../storage/fold.ts';
import type { TargetStatus } from './status-document.ts';

export interface EditTarget {
  /** Of the mount that is asked. */
  readonly mountpoint: string | undefined;
  commit(request: CommitRequest): Promise<CommitReport>;
  discard(): Promise<CommitReport>;
  flush(): Promise<void>;
  status(): Promise<TargetStatus>;
}

export interface CommitRequest {
  /** Absolute: write the checkpoint with its edits there, and leave both as they are. */
  readonly to?: string | undefined;
  /** Replace a file that is at `to`. */
  readonly overwrite?: boolean;
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: Progress) => void;
}
