import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Edits } from '../storage/edits.ts';
import type { Progress } from '../storage/fold.ts';

/** What is dirty in a checkpoint, as status.json and `mlfs status --json` have it. Bytes. */
export interface EditsReport {
  readonly dirty_bytes: number;
  /** Of the checkpoint file, ascending, end excluded; the first thousand. */
  readonly dirty_ranges: readonly { readonly start: number; readonly end: number }[];
  readonly dirty_ranges_total: number;
  /** The first thousand, in the checkpoint's order. Ranges that several tensors share are counted for each. */
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
