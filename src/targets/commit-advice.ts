import { MlfsError } from '../errors.ts';

/** Advice for a failed commit, where the failure has none of its own. `target`: the name the user gave. */
export function adviseCommit(cause: unknown, target: string): unknown {
  if (!(cause instanceof MlfsError) || cause.advice !== undefined) return cause;
  const advice = adviceFor(cause, target);
  if (advice === undefined) return cause;
  const { code, message, errno, path } = cause;
  return new MlfsError(code, message, { errno, advice, cause, path });
}

function adviceFor({ code, errno }: MlfsError, target: string): string | undefined {
  if (errno === 'ENOSPC')
    return `free some space and mlfs commit ${target} again: the edits are safe in the journal`;
  if (code === 'ERR_MLFS_ACCESS' || errno === 'EROFS') {
    return `mlfs commit ${target} --to NEW.pt writes a file of your own; the edits are safe in the journal`;
  }
  if (errno === 'EIO')
    return `see dmesg about the disk, then mlfs commit ${target} again: the journal has the edits`;
  return undefined;
}
