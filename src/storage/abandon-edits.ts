import { MlfsError } from '../errors.ts';
import { type CommitReport, report } from './commit-report.ts';
import { Journal } from './journal/journal.ts';
import { removeSegments } from './journal/segments.ts';
import { ReplayedEdits } from './replayed-edits.ts';
import type { StateDirectory } from './state-directory.ts';

/** What `abandonEdits` dropped. */
export interface AbandonReport extends CommitReport {
  /** A commit was interrupted; if the checkpoint file is the one it was for, the file may be half written. */
  readonly interruptedCommit: boolean;
}

/** Drops the edits of a checkpoint that may be gone or may no longer match them. Works for a damaged journal, too. Throws ERR_MLFS_BUSY. */
export async function abandonEdits(state: StateDirectory): Promise<AbandonReport> {
  const startedMs = Date.now();
  if (!state.exists()) return { ...report([], 0, startedMs), interruptedCommit: false };
  await state.lock();
  try {
    const replayed = new ReplayedEdits(state.journalPath);
    let journal: Journal;
    try {
      journal = await Journal.open(state.medium, state.journalPath, replayed);
    } catch (cause) {
      if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_RECOVERY') throw cause;
      await removeSegments(state.medium, state.journalPath);
      return { ...report([], 0, startedMs), interruptedCommit: false };
    }
    await journal.discard();
    await journal.close();
    const ranges = [...replayed.all().ranges()];
    return { ...report(ranges, 0, startedMs), interruptedCommit: replayed.decided !== undefined };
  } finally {
    await state.close();
  }
}
