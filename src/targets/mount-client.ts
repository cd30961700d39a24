import { type FileHandle, open } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrnoName, type ErrorCode, MlfsError } from '../errors.ts';
import type { CommitReport } from '../storage/edits.ts';
import type { Progress } from '../storage/fold.ts';
import { type ControlCommand, controlLine } from './control-command.ts';
import type { CommitRequest, EditTarget } from './edit-target.ts';
import { statusOf } from './find-mount.ts';
import type { StatusDocument, TargetStatus } from './status-document.ts';

/** Interval for asking a long command about its progress. */
const PROGRESS_MS = 200;

/** The edits of a mount, through its /sys/control. The process that serves the mount must not use this. */
export class MountClient implements EditTarget {
  readonly mountpoint: string;

  constructor(mountpoint: string) {
    this.mountpoint = mountpoint;
  }

  commit({ to, overwrite = false, dryRun = false, onProgress }: CommitRequest): Promise<CommitReport> {
    const command: ControlCommand =
      to === undefined ? { name: 'commit', dryRun } : { name: 'commit-to', path: to, overwrite, dryRun };
    return this.#ask(command, onProgress) as Promise<CommitReport>;
  }

  discard(): Promise<CommitReport> {
    return this.#ask({ name: 'discard' }) as Promise<CommitReport>;
  }

  async flush(): Promise<void> {
    await this.#ask({ name: 'flush' });
  }

  /** Makes the checkpoint file that is there now the content of the mount. */
  reload(): Promise<object> {
    return this.#ask({ name: 'reload' });
  }

  async status(): Promise<TargetStatus> {
    const { image, pid, mountpoint, mode, metrics_url, state, stale_reason, ...status } =
      await this.document();
    return {
      checkpoint: image.path,
      mountpoint,
      pid,
      mode,
      metrics_url,
      state,
      stale_reason,
      dirty_bytes: status.dirty_bytes,
      dirty_ranges: status.dirty_ranges,
      dirty_ranges_total: status.dirty_ranges_total,
      dirty_tensors: status.dirty_tensors,
      dirty_tensors_total: status.dirty_tensors_total,
      journal: status.journal,
      commit: status.commit,
      unfinished_commit: status.unfinished_commit,
      commits_total: status.commits_total,
    };
  }

  /** The whole status.json. */
  async document(): Promise<StatusDocument> {
    const found = await statusOf(this.mountpoint);
    if (found !== undefined) return found.status;
    throw new MlfsError('ERR_MLFS_FUSE', `${this.mountpoint}: the mount does not answer`, {
      path: this.mountpoint,
      advice: `mlfs umount --lazy ${this.mountpoint}, then mount again: acknowledged edits are in the journal`,
    });
  }

  async #ask(command: ControlCommand, onProgress?: (progress: Progress) => void): Promise<object> {
    const line = controlLine(command);
    // A command may take as long as it needs, but a stopped server would not even begin.
    await statusOf(this.mountpoint);
    const control = await this.#openControl();
    const done = new AbortController();
    const watching = onProgress === undefined ? undefined : this.#watch(onProgress, done.signal);
    try {
      await control.write(`${line}\n`, 0);
      // The descriptor reads what it was answered before, and then the new answer, which is one line.
      const answer = (await wholeText(control)).trimEnd().split('\n').at(-1);
      // With fuse-native a descriptor is a path, and after a reload that path is a new file without answers.
      return (answer ? JSON.parse(answer) : { command: command.name, reloaded: true }) as object;
    } catch (cause) {
      throw await this.#reasonOf(line, cause);
    } finally {
      done.abort();
      await watching;
      await control.close();
    }
  }

  async #openControl(): Promise<FileHandle> {
    const path = join(this.mountpoint, 'sys', 'control');
    try {
      return await open(path, 'r+');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'EACCES' || code === 'EPERM') {
        throw new MlfsError(
          'ERR_MLFS_ACCESS',
          `${this.mountpoint}: only the user who mounted it may do that`,
          {
            path: this.mountpoint,
            cause,
          },
        );
      }
      // A read-only mount has no edits.
      if (code === 'EROFS' || code === 'ENOENT') {
        throw new MlfsError('ERR_MLFS_USAGE', `${this.mountpoint}: is mounted read-only`, {
          path: this.mountpoint,
          errno: 'EROFS',
          cause,
        });
      }
      throw new MlfsError('ERR_MLFS_IO', `${path}: cannot be opened: ${code}`, { path, cause });
    }
  }

  async #watch(onProgress: (progress: Progress) => void, ended: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(PROGRESS_MS, undefined, { signal: ended }).catch(() => undefined);
      if (ended.aborted) return;
      const found = await statusOf(this.mountpoint).catch(() => undefined);
      const { commit = null } = found?.status ?? {};
      if (commit !== null) onProgress(commit);
    }
  }

  /** A write returns only an errno; the mount's status has the reason. */
  async #reasonOf(line: string, cause: unknown): Promise<unknown> {
    // Compared by number: libuv has no name for ESTALE.
    const { code, errno: number } = cause as NodeJS.ErrnoException;
    if (number === undefined) return cause;
    const failure = (await statusOf(this.mountpoint))?.status.last_failure;
    if (
      failure?.command === line &&
      -number === constants.errno[failure.errno as keyof typeof constants.errno]
    ) {
      return new MlfsError(failure.code as ErrorCode, failure.message, {
        errno: failure.errno as ErrnoName,
        cause,
        advice: failure.advice ?? undefined,
      });
    }
    return new MlfsError('ERR_MLFS_IO', `${this.mountpoint}: ${line}: ${code}`, {
      path: this.mountpoint,
      advice: `tail ${this.mountpoint}/logs/fuse.log`,
      cause,
    });
  }
}

async function wholeText(file: FileHandle): Promise<string> {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(65_536), 0, 65_536, at);
    if (bytesRead === 0) return Buffer.concat(parts).toString();
    parts.push(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
