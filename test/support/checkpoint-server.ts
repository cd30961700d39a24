/**
 * Serves checkpoints for tests, as the user who starts it: one JSON command in each line of standard input, and one JSON answer in each line
 * of standard output. When the input ends, everything is unmounted, by force if it is in use.
 *
 *   {"mount": "model.pt", "at": "/mnt", "options": {…MountOptions}}   →  {"summary": {…}} or {"error": "…", "code": "…"}
 *   {"unmount": "/mnt"}                                               →  {"unmounted": true} or {"error": …}
 *   {"reload": "/mnt"}                                                →  {"reloaded": …}
 *   {"blockUntil": "/path"}                                           →  {"blocked": true}; then the event loop stands still until
 *                                                                        that file exists, and a second answer is {"released": true}
 *   {"discard": "/mnt", "blockUntil": "/path"}                        →  the same, as soon as the edits are discarded
 */
import { existsSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { MlfsError } from '../../src/errors.ts';
import { mount } from '../../src/mount/mount.ts';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import type { Mounted } from '../../src/mount/mounted.ts';

/** The process that should release the event loop may be gone. */
const BLOCKED_AT_MOST_MS = 60_000;

interface Command {
  readonly mount?: string;
  readonly at?: string;
  readonly options?: MountOptions;
  readonly unmount?: string;
  readonly reload?: string;
  readonly discard?: string;
  readonly blockUntil?: string;
}

const mounts = new Map<string, Mounted>();

async function obey(command: Command): Promise<object> {
  if (command.mount !== undefined && command.at !== undefined) {
    const mounted = await mount(command.mount, command.at, command.options);
    mounts.set(command.at, mounted);
    return { summary: mounted.summary };
  }
  if (command.unmount !== undefined) {
    const mounted = mounts.get(command.unmount);
    await mounted?.unmount();
    await mounted?.closed;
    mounts.delete(command.unmount);
    return { unmounted: true };
  }
  if (command.reload !== undefined) return mounts.get(command.reload)?.reload() ?? {};
  throw new Error(`no such command: ${JSON.stringify(command)}`);
}

// Synchronous, because the event loop may be about to block.
const say = (answer: object) => writeSync(1, `${JSON.stringify(answer)}\n`);

function blockUntil(path: string): void {
  say({ blocked: true });
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (let waitedMs = 0; !existsSync(path) && waitedMs < BLOCKED_AT_MOST_MS; waitedMs += 10) {
    Atomics.wait(cell, 0, 0, 10);
  }
  say({ released: existsSync(path) });
}

for await (const line of createInterface({ input: process.stdin })) {
  const command: Command = JSON.parse(line);
  if (command.blockUntil !== undefined) {
    if (command.discard !== undefined) await mounts.get(command.discard)?.discard();
    blockUntil(command.blockUntil);
    continue;
  }
  try {
    say(await obey(command));
  } catch (error) {
    say({
      error: error instanceof Error ? error.message : String(error),
      ...(error instanceof MlfsError ? { code: error.code } : {}),
    });
  }
}
for (const mounted of mounts.values()) await mounted.unmount({ lazy: true });
process.exit(0);
