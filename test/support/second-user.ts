import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Outcome, type RunOptions, run } from './run.ts';

/**
 * A user of this machine who is not root and owns nothing, by number: no account is needed. Tests of permissions run their programs as this
 * user.
 */
export const SECOND_USER = { uid: 64_321, gid: 64_321 } as const;

/** Runs a program as the second user, without supplementary groups. Needs root. */
export function runAsSecondUser(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return run(program, args, { ...options, user: SECOND_USER });
}

/** A new folder that every user can search, removed at the end of the test. Files in it belong to their creators. */
export async function sharedDirectory(t: TestContext): Promise<string> {
  const folder = tmpdir();
  // The test runner's own folder for temporary files is only for its owner.
  if (folder !== '/tmp') await chmod(folder, 0o711);
  const path = await mkdtemp(join(folder, 'mlfs-shared-'));
  await chmod(path, 0o755);
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}
