/**
 * /sys/control: each line is a command. Its answer is one JSON document, read from the same descriptor. When a command fails, the write
 * fails with its errno, and the log and `last_failure` in status.json say why and what to do.
 *
 * Commands that change the edits (commit, discard, reload) run one at a time; `status` and `flush` do not wait for them.
 */
import { MlfsError, messageOf } from '../errors.ts';
import type { CommandContent } from '../storage/content.ts';
import type { CommitReport } from '../storage/edits.ts';
import { Mutex } from '../storage/mutex.ts';
import { type ControlCommand, parseControl } from '../targets/control-command.ts';
import type { FailedCommand } from '../targets/status-document.ts';
import type { Log } from '../telemetry/log.ts';
import { visibleJson } from '../visible-text.ts';

/** The implementations of the commands. Each throws MlfsError. */
export interface ControlActions {
  commit(options: { readonly dryRun: boolean }): Promise<CommitReport>;
  commitTo(
    path: string,
    options: { readonly overwrite: boolean; readonly dryRun: boolean },
  ): Promise<CommitReport>;
  discard(): Promise<CommitReport>;
  flush(): Promise<void>;
  reload(): Promise<object>;
  status(): Promise<object>;
  /** fsync of the file: a flush, or a commit on a mount that writes back. */
  sync(): Promise<void>;
}

export class Control implements CommandContent {
  readonly kind = 'command';
  readonly #actions: ControlActions;
  readonly #log: Log;
  readonly #mutex = new Mutex();
  #lastFailure: FailedCommand | undefined;

  constructor(actions: ControlActions, log: Log) {
    this.#actions = actions;
    this.#log = log;
  }

  get lastFailure(): FailedCommand | undefined {
    return this.#lastFailure;
  }

  async perform(line: string): Promise<string> {
    const said = line.trim();
    try {
      const command = parseControl(said);
      const answer = await this.#carryOut(command);
      if (command.name !== 'status') this.#log.info('control', { command: said });
      return `${visibleJson(answer)}\n`;
    } catch (cause) {
      throw this.#failed(said, cause);
    }
  }

  /** Runs a command for callers inside the server, who have no open file. */
  reload(): Promise<object> {
    return this.#mutex.run(() => this.#actions.reload());
  }

  /** Resolves when the commands given so far have succeeded or failed. */
  settled(): Promise<void> {
    return this.#mutex.run(() => Promise.resolve());
  }

  async sync(): Promise<void> {
    try {
      await this.#actions.sync();
    } catch (cause) {
      throw this.#failed('fsync', cause);
    }
  }

  async #carryOut(command: ControlCommand): Promise<object> {
    switch (command.name) {
      case 'status':
        return this.#actions.status();
      case 'flush':
        await this.#actions.flush();
        return { command: 'flush' };
      case 'commit':
        return this.#reported(command, () => this.#actions.commit({ dryRun: command.dryRun }));
      case 'commit-to': {
        const { path, overwrite, dryRun } = command;
        return this.#reported(command, () => this.#actions.commitTo(path, { overwrite, dryRun }), {
          to: path,
        });
      }
      case 'discard':
        return this.#reported(command, () => this.#actions.discard());
      case 'reload':
        return { command: 'reload', ...(await this.reload()) };
    }
  }

  async #reported(
    command: ControlCommand,
    act: () => Promise<CommitReport>,
    more: { readonly to?: string } = {},
  ): Promise<object> {
    const report = await this.#mutex.run(act);
    const dryRun = 'dryRun' in command && command.dryRun ? { dry_run: true } : {};
    return { command: command.name === 'commit-to' ? 'commit' : command.name, ...dryRun, ...more, ...report };
  }

  #failed(command: string, cause: unknown): MlfsError {
    const error =
      cause instanceof MlfsError
        ? cause
        : new MlfsError('ERR_MLFS_INTERNAL', messageOf(cause), {
            cause,
          });
    const { code, errno, message, advice = null } = error;
    this.#lastFailure = { command, code, errno, message, advice, time: new Date().toISOString() };
    this.#log.error(message, { command, code, advice: advice ?? undefined });
    return error;
  }
}
