import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { fileStructure } from '../checkpoint/file-structure.ts';
import { modelOf, nameTensors } from '../checkpoint/model.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import { EXIT, MlfsError } from '../errors.ts';
import { abandonEdits } from '../storage/abandon-edits.ts';
import { isOfAnotherUser, refuseForeignEdits } from '../storage/admit-edits.ts';
import type { CommitReport } from '../storage/commit-report.ts';
import { diskMedium } from '../storage/disk-medium.ts';
import { isFileLocked } from '../storage/lock.ts';
import { StateDirectory } from '../storage/state-directory.ts';
import { dirtyTensors } from '../tree/dirty-tensors.ts';
import { adviseCommit } from './commit-advice.ts';
import { commitPreview } from './commit-preview.ts';
import type { CommitRequest, EditTarget } from './edit-target.ts';
import { editsReport, type TargetStatus } from './status-document.ts';
import { readUncommittedEdits, type UncommittedEdits } from './uncommitted-edits.ts';
import { WritableCheckpoint } from './writable-checkpoint.ts';

export interface UnmountedOptions {
  readonly stateDirectory?: string | undefined;
  /** Receives notices about what else was done. */
  readonly onNotice?: ((message: string) => void) | undefined;
}

/** The edits of a checkpoint that is not mounted: each call opens it, does its work and closes it. */
export class UnmountedCheckpoint implements EditTarget {
  readonly mountpoint = undefined;
  readonly #path: string;
  readonly #options: UnmountedOptions;

  /** `path` is absolute. */
  constructor(path: string, options: UnmountedOptions) {
    this.#path = path;
    this.#options = options;
  }

  /** Whether a process has it open for writing. Changes nothing. */
  async isLocked(): Promise<boolean> {
    try {
      if (await isFileLocked(this.#path)) return true;
    } catch (cause) {
      if (cause instanceof MlfsError && cause.code === 'ERR_MLFS_NOT_FOUND') return false;
      throw cause;
    }
    const state = await this.#locate();
    try {
      return await state.isLocked();
    } finally {
      await state.close();
    }
  }

  async commit({ to, overwrite = false, ...options }: CommitRequest): Promise<CommitReport> {
    if (options.dryRun) return this.#preview(to, overwrite);
    return this.#opened(async ({ edits }) => {
      if (to !== undefined) return edits.commitTo(to, { ...options, overwrite });
      return edits.commit(options).catch((cause: unknown) => {
        throw adviseCommit(cause, this.#path);
      });
    });
  }

  /** Also works for edits of a file that no longer exists. Throws ERR_MLFS_NOT_FOUND when there are no edits either. */
  async discard(): Promise<CommitReport> {
    try {
      return await this.#opened(({ edits }) => edits.discard());
    } catch (cause) {
      if (!(cause instanceof MlfsError) || !canAbandon(cause)) throw cause;
      const state = await this.#locate();
      if (!state.exists()) {
        await state.close();
        throw cause;
      }
      const { interruptedCommit, ...report } = await abandonEdits(state);
      if (interruptedCommit) {
        this.#options.onNotice?.(
          `${this.#path}: an interrupted commit was dropped; if it was for this file, the file may be half written`,
        );
      }
      return report;
    }
  }

  /** Changes nothing: an interrupted commit stays interrupted and is reported. */
  async #preview(to: string | undefined, overwrite: boolean): Promise<CommitReport> {
    const { stateDirectory, onNotice } = this.#options;
    const target = to === undefined ? { overwrite } : { to, overwrite };
    const { report, interruptedCommit } = await commitPreview(this.#path, stateDirectory, target);
    if (interruptedCommit) {
      onNotice?.(
        `${this.#path}: a commit was interrupted, and the file may be half written; mlfs commit ${this.#path} finishes it, and so does a read-write mount`,
      );
    }
    return report;
  }

  async flush(): Promise<void> {
    await this.#opened(({ edits }) => edits.flush());
  }

  /** Changes nothing: an interrupted commit stays interrupted. */
  async status(): Promise<TargetStatus> {
    const checkpoint = await openCheckpoint(this.#path);
    const kept = await readUncommittedEdits(this.#path, this.#options.stateDirectory);
    try {
      const { image } = checkpoint;
      if (kept !== undefined) {
        for (const piece of kept.overlay.pieces()) {
          image.overlay.set(piece.start, piece.end - piece.start, piece, new Set());
        }
      }
      const refusal = kept === undefined ? undefined : await refusalOf(kept, checkpoint);
      return {
        checkpoint: this.#path,
        mountpoint: null,
        pid: null,
        mode: 'unmounted',
        metrics_url: null,
        state: refusal === undefined ? 'current' : 'stale',
        stale_reason: refusal ?? null,
        ...editsReport(
          checkpoint,
          undefined,
          dirtyTensors(image.overlay, nameTensors(checkpoint, modelOf(checkpoint)).all),
        ),
        journal:
          kept === undefined
            ? null
            : {
                state_directory: kept.stateDirectory,
                ...kept.journal,
                limit_bytes: null,
                failed: false,
                appends_total: 0,
                syncs_total: 0,
              },
        unfinished_commit: kept?.interrupted !== undefined,
      };
    } finally {
      await kept?.close();
      await checkpoint.close();
    }
  }

  async #opened<T>(use: (opened: WritableCheckpoint) => Promise<T>): Promise<T> {
    const { stateDirectory, onNotice } = this.#options;
    const opened = await WritableCheckpoint.open(this.#path, { stateDirectory, onNotice });
    try {
      if (opened.finishedCommit) {
        this.#options.onNotice?.(`${this.#path}: an interrupted commit was finished`);
      }
      return await use(opened);
    } finally {
      await opened.close();
    }
  }

  #locate(): Promise<StateDirectory> {
    const { stateDirectory } = this.#options;
    return StateDirectory.locate(diskMedium, this.#path, { directory: stateDirectory });
  }
}

/** Why the edits cannot go into this file; undefined when they can. */
async function refusalOf(kept: UncommittedEdits, checkpoint: Checkpoint): Promise<string | undefined> {
  try {
    await refuseForeignEdits(kept, checkpoint.image.base, fileStructure(checkpoint));
    return undefined;
  } catch (cause) {
    if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_RECOVERY') throw cause;
    return kept.base !== undefined && isOfAnotherUser(kept.base) ? 'another-user' : 'changed';
  }
}

/** The checkpoint was replaced or removed: its edits can be dropped all the same. */
function canAbandon({ code, exitCode }: MlfsError): boolean {
  return code === 'ERR_MLFS_RECOVERY' || code === 'ERR_MLFS_NOT_FOUND' || exitCode === EXIT.malformed;
}
