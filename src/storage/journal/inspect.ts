import { MlfsError } from '../../errors.ts';
import type { Medium } from '../medium.ts';
import { ReplayedEdits } from '../replayed-edits.ts';
import { replay } from './replay.ts';

/** The contents of a journal, read without the lock. */
export interface JournalInspection {
  /** Size of all segments. */
  readonly bytes: number;
  /** Number of writes that count. */
  readonly writes: number;
  /** Dirty bytes of the image, each counted once. */
  readonly dirtyBytes: number;
  /** A commit was decided and may be unfinished. */
  readonly interruptedCommit: boolean;
}

const ATTEMPTS = 5;

/** Changes nothing; a torn tail, or one that is just being written, is left out. Throws ERR_MLFS_RECOVERY. */
export async function inspectJournal(medium: Medium, directory: string): Promise<JournalInspection> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await inspectOnce(medium, directory);
    } catch (cause) {
      // The lock's holder dropped a segment after it was listed.
      const moving =
        cause instanceof MlfsError &&
        (cause.code === 'ERR_MLFS_NOT_FOUND' || cause.code === 'ERR_MLFS_TRUNCATED');
      if (!moving || attempt === ATTEMPTS) throw cause;
    }
  }
}

async function inspectOnce(medium: Medium, directory: string): Promise<JournalInspection> {
  const replayed = new ReplayedEdits(directory);
  const { segments } = await replay(medium, directory, 'read', replayed);
  for (const { file } of segments) await file.close();
  return {
    bytes: segments.reduce((sum, { size }) => sum + size, 0),
    writes: replayed.writesTotal,
    dirtyBytes: replayed.all().bytes,
    interruptedCommit: replayed.decided !== undefined,
  };
}
