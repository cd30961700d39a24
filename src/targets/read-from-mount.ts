/**
 * Reads a document of a mount whose server may never answer. A read that waits for the server cannot be cancelled and would keep the
 * process alive, so a child process reads.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { MlfsError } from '../errors.ts';
import { mountTableEntry } from '../storage/mount-table.ts';
import { serverOfMount, stoppedError } from './server-process.ts';

/** A server under load answers a small document within milliseconds; after this time the server's state is checked. */
const LOOK_AFTER_MS = 2000;
/** Interval of the checks after that. */
const LOOK_AGAIN_MS = 1000;
/** Longer than the longest work that blocks a healthy server. */
const GIVE_UP_MS = 60_000;

/**
 * The text of a file in a mount; undefined when it cannot be read. Throws ERR_MLFS_ACCESS when the kernel does not let the caller in, and
 * ERR_MLFS_FUSE when the server is stopped, or gives no answer in a minute.
 */
export async function readFromMount(mountpoint: string, path: string): Promise<string | undefined> {
  const child = spawn('cat', ['--', path], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let complaint = '';
  child.stderr.on('data', (part: Buffer) => {
    complaint += part;
  });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  const text = new Promise<string | undefined>((resolve) => {
    child.on('error', () => resolve(undefined));
    child.on('close', (code) => resolve(code === 0 ? Buffer.concat(parts).toString() : undefined));
  });
  const patience = new AbortController();
  try {
    const answer = await Promise.race([text, noAnswer(mountpoint, patience.signal)]);
    if (answer === undefined && complaint.endsWith(': Permission denied\n')) throw await notYours(mountpoint);
    return answer;
  } finally {
    patience.abort();
    // A child that waits in the kernel may not end now; it is not waited for.
    child.kill('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
    child.unref();
  }
}

/** Rejects when there will be no answer. */
function noAnswer(mountpoint: string, ended: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const start = Date.now();
    const look = async () => {
      const server = await serverOfMount(mountpoint);
      if (ended.aborted) return;
      if (server?.stopped) reject(stoppedError(mountpoint, server.pid));
      else if (Date.now() - start > GIVE_UP_MS) reject(silentError(mountpoint, server?.pid));
      else timer = setTimeout(run, LOOK_AGAIN_MS);
    };
    const run = () => void look().catch(reject);
    let timer = setTimeout(run, LOOK_AFTER_MS);
    ended.addEventListener('abort', () => clearTimeout(timer));
  });
}

/** The kernel keeps everybody but the mount's user out of a mount without allow_other. */
async function notYours(mountpoint: string): Promise<MlfsError> {
  const { userId } = mountTableEntry(await readFile('/proc/self/mountinfo', 'utf8'), mountpoint) ?? {};
  const who = userId === undefined ? 'the user who mounted it' : `user ${userId}, who mounted it,`;
  return new MlfsError('ERR_MLFS_ACCESS', `${mountpoint}: permission denied: only ${who} may use it`, {
    path: mountpoint,
    advice: 'mount it with -o allow_other to let other users in, root too',
  });
}

function silentError(mountpoint: string, pid: number | undefined): MlfsError {
  const who = pid === undefined ? 'its server' : `process ${pid}, which serves it,`;
  return new MlfsError(
    'ERR_MLFS_FUSE',
    `${mountpoint}: ${who} did not answer for ${GIVE_UP_MS / 1000} seconds`,
    {
      path: mountpoint,
      advice: `mlfs umount --lazy ${mountpoint} removes the mount; acknowledged edits are kept`,
    },
  );
}
