import { MlfsError } from '../../errors.ts';
import type { Medium } from '../medium.ts';
import { ReplayedEdits } from '../replayed-edits.ts';
import { replay } from './replay.ts';

/** What a journal holds, for whoever looks at it without the lock. */
export interface JournalInspection {
  /** Of all segments. */
  readonly bytes: number;
  /** Writes that count. */
  readonly writes: number;
  /** Of the image, each counted once. */
  readonly dirtyBytes: number;
  /** A commit was decided and is not known to be done. */
  readonly interruptedCommit: boolean;
}

const ATTEMPTS = 5;

/** Changes nothing; a tail that is torn, or just being written, is left out. Throws ERR_MLFS_RECOVERY. */
export async function inspectJournal(medium: Medium, directory: string): Promise<JournalInspection> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await inspectOnce(medium, directory);
    } catch (cause) {
      // Its owner dropped a segment after we had listed it.
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
