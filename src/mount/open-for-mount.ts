import { MlfsError } from '../errors.ts';
import { readWriteMountOf } from '../targets/find-mount.ts';
import { ownMounts } from '../targets/own-mounts.ts';
import { sharedFileWarning } from '../targets/shared-file.ts';
import { inspectUncommittedEdits } from '../targets/uncommitted-edits.ts';
import { ServedCheckpoint, type ServedOptions } from './served-checkpoint.ts';

export interface MountedOptions extends ServedOptions {
  /** Receives notices for the user: edits that were restored, or that are not shown. */
  readonly notice: (message: string) => void;
}

/** Opens a checkpoint for a mount and reports what happens to waiting edits. Throws what ServedCheckpoint.open throws. */
export async function openForMount(options: MountedOptions): Promise<ServedCheckpoint> {
  if (options.readOnly) await lookAtUncommittedEdits(options);
  const served = await ServedCheckpoint.open(options).catch(async (cause: unknown) => {
    throw await explained(cause, options);
  });
  if (served.finishedCommit) options.notice(`${options.path}: an interrupted commit was finished`);
  const shared = options.readOnly ? undefined : await sharedFileWarning(options.path);
  if (shared !== undefined) options.notice(shared);
  const { dirtyBytes = 0, dirtyRanges = 0, stateDirectory = '' } = served.edits?.status ?? {};
  if (dirtyBytes > 0) {
    const ranges = `${dirtyRanges} ${dirtyRanges === 1 ? 'range' : 'ranges'}`;
    options.notice(`brought back ${dirtyBytes} bytes of edits in ${ranges} from ${stateDirectory}`);
  }
  return served;
}

/** A read-only mount shows the file as it is, so the file must be whole. */
async function lookAtUncommittedEdits({ path, editing, notice }: MountedOptions): Promise<void> {
  const kept = await inspectUncommittedEdits(path, editing.stateDirectory).catch((cause: unknown) => {
    if (!(cause instanceof MlfsError)) throw cause;
    notice(`${cause.message}: edits that are kept there are not shown`);
    return undefined;
  });
  if (kept?.interruptedCommit) {
    throw new MlfsError(
      'ERR_MLFS_RECOVERY',
      `${path}: a commit was interrupted, the file may be half written`,
      {
        path,
        advice: `mlfs commit ${path} finishes it, and so does mounting read-write`,
      },
    );
  }
  if (kept !== undefined && kept.dirtyBytes > 0) {
    notice(`${path}: ${kept.dirtyBytes} bytes of uncommitted edits in ${kept.stateDirectory} are not shown`);
  }
}

/** The lock names a process; the user knows the mount point. */
async function explained(cause: unknown, { path, mountpoint }: MountedOptions): Promise<unknown> {
  if (!(cause instanceof MlfsError) || cause.code !== 'ERR_MLFS_BUSY') return cause;
  const found = await readWriteMountOf(path, ownMounts);
  const advice = `mlfs mount --read-only ${path} ${mountpoint}`;
  if (found === undefined) return new MlfsError(cause.code, cause.message, { path, cause, advice });
  const { pid } = found.status;
  return new MlfsError(
    'ERR_MLFS_BUSY',
    `${path}: is mounted read-write at ${found.mountpoint} by process ${pid}`,
    { path, cause, advice: `${advice}, or mlfs umount ${found.mountpoint}` },
  );
}
