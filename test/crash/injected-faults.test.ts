import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { buildSources, inject, SYSTEM_CALLS, writeOriginal } from './injected-faults.ts';

test(
  'every system call on a real disk may fail with ENOSPC and EIO, and nothing acknowledged is lost',
  requires('strace'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const { built, remove } = await buildSources();
    t.after(remove);
    const original = await writeOriginal(folder);
    const counts: Record<string, number> = {};
    for (const call of SYSTEM_CALLS) {
      for (const errno of ['ENOSPC', 'EIO'] as const) {
        let when = 1;
        while (await inject({ call, errno, when }, { built, original, folder })) when++;
        counts[`${call} ${errno}`] = when - 1;
      }
    }
    t.diagnostic(JSON.stringify(counts));
    for (const call of ['pwritev', 'fdatasync', 'fsync', 'rename', 'unlink']) {
      assert.ok((counts[`${call} EIO`] ?? 0) > 0, `no ${call} was made`);
    }
  },
);
