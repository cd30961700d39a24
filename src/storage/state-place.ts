/**
 * Decides where the state directory of a checkpoint is: the place that `--state` names; otherwise beside the checkpoint; otherwise, where
 * that place is not writable or is taken by another user's directory, in the caller's XDG state directory.
 *
 * A directory that is not the caller's own (foreign.ts) is never used. Beside the checkpoint it is skipped with a notice, unless it may
 * hold edits. In that case opening fails, because the caller must know of those edits before editing the file; `--state` then names a
 * directory.
 */
import { createHash } from 'node:crypto';
import { access, constants, lstat, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { MlfsError } from '../errors.ts';
import type { FolderMedium, Medium } from './medium.ts';
import { realPathOf } from './utf8-path.ts';

export interface StatePlace {
  readonly path: string;
  /** The medium for the directory's contents, and for `parent`. */
  readonly medium: FolderMedium | Medium;
  readonly exists: boolean;
  /** A folder for state directories only, which is removed with the last of them. */
  readonly parent: string | undefined;
}

/** Names in a directory that has edits. */
const SIGNS_OF_EDITS: readonly string[] = ['base.json', 'journal'];

/** Throws ERR_MLFS_ACCESS when the place is not the caller's own. */
export async function findStatePlace(
  medium: Medium,
  checkpointPath: string,
  directory: string | undefined,
  onNotice: (message: string) => void,
): Promise<StatePlace> {
  if (directory !== undefined) return lookAt(medium, resolve(directory));
  const checkpoint = await namedAfter(checkpointPath);
  const beside = await lookAt(medium, `${checkpoint}.mlfs`).catch(asForeign);
  if (!(beside instanceof MlfsError) && beside.exists) return beside;
  const elsewhere = await lookAt(medium, inUserState(checkpoint), true).catch(asForeign);
  const hasEdits = !(elsewhere instanceof MlfsError) && elsewhere.exists;
  if (beside instanceof MlfsError) {
    if (!hasEdits && (await mayHoldEdits(`${checkpoint}.mlfs`))) throw beside;
    if (elsewhere instanceof MlfsError) throw elsewhere;
    onNotice(`${beside.message}; edits are kept in ${elsewhere.path} instead`);
    return elsewhere;
  }
  if (!hasEdits && (await isWritable(dirname(checkpoint)))) return beside;
  await letGo(beside);
  if (elsewhere instanceof MlfsError) throw elsewhere;
  return elsewhere;
}

/** What the state directory is named after. Throws ERR_MLFS_USAGE when it is not UTF-8: the name would be another file's, too. */
function namedAfter(path: string): Promise<string> {
  const advice = 'Say where edits are kept, with --state DIR, or mount with --read-only.';
  return realPathOf(path, advice).catch((cause: unknown) => {
    if (cause instanceof MlfsError) throw cause;
    return resolve(path);
  });
}

/** Closes a place that is not used. */
async function letGo({ medium }: StatePlace): Promise<void> {
  if ('close' in medium) await medium.close();
}

async function lookAt(medium: Medium, path: string, ownParent = false): Promise<StatePlace> {
  const own = medium.ownFolder?.(path, { ownParent }) ?? medium;
  const exists = (await own.list(path)).length > 0;
  return { path, medium: own, exists, parent: ownParent ? dirname(path) : undefined };
}

/** Returns the refusal of what is not the caller's own; throws other failures. */
function asForeign(cause: unknown): MlfsError {
  if (cause instanceof MlfsError && cause.code === 'ERR_MLFS_ACCESS') return cause;
  throw cause;
}

/**
 * Whether a skipped directory may hold edits. A link of the caller's own may lead to edits, and a directory that cannot be listed may hold
 * some.
 */
async function mayHoldEdits(path: string): Promise<boolean> {
  const found = await lstat(path);
  if (found.isSymbolicLink()) return found.uid === (process.geteuid?.() ?? 0);
  if (!found.isDirectory()) return false;
  const names = await readdir(path).catch(() => SIGNS_OF_EDITS);
  return names.some((name) => SIGNS_OF_EDITS.includes(name));
}

/** `${XDG_STATE_HOME}/mlfs/NAME-HASH`, with the hash of the absolute path. */
function inUserState(checkpoint: string): string {
  const { XDG_STATE_HOME: configured } = process.env;
  // The specification says to ignore a path that is not absolute.
  const home =
    configured !== undefined && isAbsolute(configured) ? configured : join(homedir(), '.local', 'state');
  const hash = createHash('sha256').update(checkpoint).digest('hex').slice(0, 16);
  return join(home, 'mlfs', `${basename(checkpoint).slice(0, 100)}-${hash}`);
}

/** Also false on a file system that is mounted read-only. */
async function isWritable(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK);
    return true;
  } catch (cause) {
    // A folder on another medium: its own errors are reported later.
    return (cause as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
