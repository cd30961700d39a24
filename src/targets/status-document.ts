/** What a mount and `mlfs status` report about a checkpoint and its uncommitted edits, and the part that both share. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Edits } from '../storage/edits.ts';
import type { Progress } from '../storage/fold.ts';

/** The dirty parts of a checkpoint, as in status.json and `mlfs status --json`. Sizes are in bytes. */
export interface EditsReport {
  readonly dirty_bytes: number;
  /** Ranges of the checkpoint file, ascending, end excluded; the first thousand. */
  readonly dirty_ranges: readonly { readonly start: number; readonly end: number }[];
  readonly dirty_ranges_total: number;
  /** The first thousand, in the checkpoint's order. A range that several tensors share counts for each. */
  readonly dirty_tensors: readonly DirtyTensorReport[];
  readonly dirty_tensors_total: number;
  readonly journal: JournalReport | null;
  readonly commit: Progress | null;
  readonly unfinished_commit: boolean;
  readonly commits_total: number;
}

export interface DirtyTensorReport {
  readonly name: string;
  readonly bytes: number;
  readonly ranges: number;
}

export interface JournalReport {
  readonly state_directory: string;
  readonly bytes: number;
  readonly segments: number;
  readonly limit_bytes: number | null;
  readonly failed: boolean;
  readonly appends_total: number;
  readonly syncs_total: number;
}

/** The document of `mlfs status --json`. */
export interface TargetStatus extends EditsReport {
  readonly checkpoint: string;
  readonly mountpoint: string | null;
  /** Process id of the server. */
  readonly pid: number | null;
  readonly mode: 'read-only' | 'read-write' | 'unmounted';
  /** Address of the metrics server, when there is one. */
  readonly metrics_url: string | null;
  readonly state: 'current' | 'stale' | 'committing';
  readonly stale_reason: string | null;
}

/** Whether the kernel reads files of a read-only mount by itself. */
export interface KernelViewStatus {
  readonly state: 'preparing' | 'in use' | 'off';
  /** Why it does not, or why it does not for files that are opened now. */
  readonly reason: string | null;
  readonly files: number;
  readonly bytes: number;
  readonly loop_devices: number;
}

/** The document of /sys/status.json. Sizes are in bytes; counters begin with the mount. */
export interface StatusDocument extends EditsReport {
  readonly version: string;
  readonly pid: number;
  readonly mountpoint: string;
  readonly transport: string;
  readonly mode: 'read-only' | 'read-write';
  readonly write_back: boolean;
  readonly follow: boolean;
  readonly metrics_url: string | null;
  readonly uptime_seconds: number;
  readonly state: TargetStatus['state'];
  readonly stale_reason: string | null;
  readonly image: {
    readonly path: string;
    readonly format: string;
    readonly size: number;
    /** ISO 8601. */
    readonly mtime: string;
    readonly device: string;
    readonly inode: string;
  };
  readonly kernel_view: KernelViewStatus;
  readonly tensors: number;
  readonly tensor_bytes: number;
  readonly inodes: number;
  readonly reloads_total: number;
  readonly last_failure: FailedCommand | null;
  readonly cache: Readonly<Record<'hits' | 'misses' | 'evictions' | 'bytes' | 'pages' | 'maxBytes', number>>;
  /** Counters of the transport and of the operations. */
  readonly counters: Readonly<Record<string, number>>;
  readonly rss_bytes: number;
  readonly warnings: readonly { readonly code: string; readonly message: string }[];
  /** The first thousand. */
  readonly unknown_globals: readonly string[];
  readonly unknown_globals_total: number;
}

/** The last command of /sys/control that failed. */
export interface FailedCommand {
  /** The line as it was written. */
  readonly command: string;
  readonly code: string;
  readonly errno: string;
  readonly message: string;
  readonly advice: string | null;
  /** ISO 8601. */
  readonly time: string;
}

const LISTED = 1000;

/** `tensors` are those that have dirty bytes. */
export function editsReport(
  { image }: Pick<Checkpoint, 'image'>,
  edits: Edits | undefined,
  tensors: readonly DirtyTensorReport[],
): EditsReport {
  const ranges: { start: number; end: number }[] = [];
  let total = 0;
  for (const { start, end } of image.overlay.ranges()) {
    if (total++ < LISTED) ranges.push({ start, end });
  }
  const status = edits?.status;
  return {
    dirty_bytes: image.overlay.bytes,
    dirty_ranges: ranges,
    dirty_ranges_total: total,
    dirty_tensors: tensors.slice(0, LISTED),
    dirty_tensors_total: tensors.length,
    journal:
      status === undefined
        ? null
        : {
            state_directory: status.stateDirectory,
            bytes: status.journal.bytes,
            segments: status.journal.segments,
            limit_bytes: status.journal.limitBytes ?? null,
            failed: status.journal.failed,
            appends_total: status.journal.appendsTotal,
            syncs_total: status.journal.syncsTotal,
          },
    commit: status?.commit ?? null,
    unfinished_commit: status?.unfinishedCommit ?? false,
    commits_total: status?.commitsTotal ?? 0,
  };
}
