import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveCalls } from '../../../src/rpc/serve-calls.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

test('what cannot be read as a call is left, and the next one is taken', async (t) => {
  const mountpoint = await temporaryDirectory(t);
  // A file that is made there stays empty, which is no call.
  await mkdir(join(mountpoint, 'rpc/workers'), { recursive: true });
  const stop = new AbortController();
  const lines: string[] = [];
  const log = (line: string) => {
    if (lines.push(line) === 3) stop.abort();
  };
  await serveCalls({ mountpoint, worker: 'cat', signal: stop.signal, log });
  assert.ok(lines.length >= 3);
  for (const line of lines)
    assert.match(line, /^a call was left, because what the mount says of it cannot be read: /);
});

test('what keeps a call from being taken has a code and names the file; a mount that is gone is none', async (t) => {
  const mountpoint = await temporaryDirectory(t);
  const options = { mountpoint, worker: 'cat', signal: new AbortController().signal, log: () => undefined };
  await serveCalls(options);
  await mkdir(join(mountpoint, 'rpc'));
  await writeFile(join(mountpoint, 'rpc/workers'), '');
  await assert.rejects(serveCalls(options), {
    code: 'ERR_MLFS_NOT_FOUND',
    message: /rpc\/workers\/.*: cannot be opened to take a call/,
  });
});
