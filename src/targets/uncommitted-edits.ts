/** What a checkpoint's journal holds. Takes no lock and changes nothing, so it also works while another process writes the journal. */
import { lstat, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { InterruptedCommit } from '../storage/admit-edits.ts';
import type { BaseRecord } from '../storage/base-record.ts';
import { diskMedium } from '../storage/disk-medium.ts';
import { inspectJournal, type JournalInspection } from '../storage/journal/inspect.ts';
import { replay } from '../storage/journal/replay.ts';
import { segmentNumber } from '../storage/journal/segment.ts';
import type { Overlay } from '../storage/overlay.ts';
import { ReplayedEdits } from '../storage/replayed-edits.ts';
import { StateDirectory } from '../storage/state-directory.ts';

/** Undefined when there is no state directory. Throws ERR_MLFS_RECOVERY for a journal that cannot be read. */
export async function inspectUncommittedEdits(
  checkpointPath: string,
  directory?: string,
): Promise<(JournalInspection & { readonly stateDirectory: string }) | undefined> {
  const state = await locate(checkpointPath, directory);
  try {
    if (!state.exists()) return undefined;
    return { ...(await inspectJournal(state.medium, state.journalPath)), stateDirectory: state.path };
  } finally {
    await state.close();
  }
}

/** Total size of the segments in a state directory, whoever owns it. Looks at names and sizes only. */
export async function journalBytesIn(stateDirectory: string): Promise<number> {
  const folder = join(stateDirectory, 'journal');
  // The next mount does not follow a link to a moved state directory, so its edits are not counted.
  for (const path of [stateDirectory, folder]) {
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory() !== true) return 0;
  }
  const names = await readdir(folder).catch(() => []);
  const sizes = names
    .filter((name) => segmentNumber(name) !== undefined)
    .map((name) =>
      lstat(join(folder, name)).then(
        ({ size }) => size,
        () => 0,
      ),
    );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

export interface UncommittedEdits {
  readonly stateDirectory: string;
  /** Every edit that the file may lack. Pieces can be read until `close`. */
  readonly overlay: Overlay;
  /** The edits that are not part of a decided commit. */
  readonly uncommitted: Overlay;
  /** A commit was decided and may be unfinished: the checkpoint file may be half written. */
  readonly interrupted: InterruptedCommit | undefined;
  /** The file that the edits belong to. */
  readonly base: BaseRecord | undefined;
  readonly journal: { readonly bytes: number; readonly segments: number };
  close(): Promise<void>;
}

/** The same with every range, for a checkpoint that no process is editing. */
export async function readUncommittedEdits(
  checkpointPath: string,
  directory?: string,
): Promise<UncommittedEdits | undefined> {
  const state = await locate(checkpointPath, directory);
  try {
    return state.exists() ? await replayedEdits(state) : undefined;
  } finally {
    await state.close();
  }
}

async function replayedEdits(state: StateDirectory): Promise<UncommittedEdits> {
  const replayed = new ReplayedEdits(state.journalPath);
  const { segments } = await replay(state.medium, state.journalPath, 'read', replayed);
  const close = async () => {
    for (const { file } of segments) await file.close();
  };
  try {
    return {
      stateDirectory: state.path,
      overlay: replayed.all(),
      base: await state.readBase(),
      uncommitted: replayed.uncommitted,
      interrupted: replayed.decided,
      journal: { bytes: segments.reduce((sum, { size }) => sum + size, 0), segments: segments.length },
      close,
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}

function locate(checkpointPath: string, directory: string | undefined): Promise<StateDirectory> {
  return StateDirectory.locate(diskMedium, resolve(checkpointPath), { directory });
}
