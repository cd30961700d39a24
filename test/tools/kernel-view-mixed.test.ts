/** Files of a kernel view that are opened by many programs while the view is suspended and taken up again. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { StatusDocument } from '../../src/targets/status-document.ts';
import { decided, statusOf, until, type ViewModel, viewable, viewModel } from '../support/kernel-view.ts';
import { output } from '../support/run.ts';
import { Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

/** Four processes open, read and close the same files until their input ends: readers.py CHECKPOINT [PATH OFFSET]... */
const READERS = `
import os, random, select, sys
checkpoint, words = open(sys.argv[1], 'rb').read(), sys.argv[2:]
files = [(path, int(offset), os.path.getsize(path)) for path, offset in zip(words[::2], words[1::2])]
children = []
for _ in range(4):
    child = os.fork()
    if child: children.append(child); continue
    try:
        while not select.select([0], [], [], 0)[0]:
            path, offset, size = random.choice(files)
            opened = [os.open(path, os.O_RDONLY) for _ in range(random.randrange(1, 4))]
            for file in opened:
                at = random.randrange(size - 100)
                if os.pread(file, 100, at) != checkpoint[offset + at:offset + at + 100]: raise ValueError(f'wrong bytes at {at}')
                os.close(file)
    except Exception as error:
        print(path, error, file=sys.stderr)
        os._exit(1)
    os._exit(0)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)
`;

class Readers {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown[]>;
  #complaints = '';

  constructor({ path, offsets }: ViewModel, mount: string) {
    const files = ['t1', 't2', 't3'].flatMap((name) => [
      join(mount, `model/${name}.bin`),
      String(offsets.get(name)),
    ]);
    this.#child = spawn('python3', ['-c', READERS, path, ...files], { stdio: ['pipe', 'ignore', 'pipe'] });
    this.#closed = once(this.#child, 'close');
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#complaints += chunk.toString();
    });
  }

  /** Ends them. Resolves with what went wrong. */
  async end(): Promise<string> {
    this.#child.stdin?.end();
    const [code] = await this.#closed;
    return code === 0 ? this.#complaints : `${this.#complaints}exit code ${code}`;
  }
}

const opens = ({ counters }: StatusDocument) => ({
  throughView: counters.kernel_view_opens_total as number,
  plain: counters.kernel_view_plain_opens_total as number,
});

test(
  'no open fails while plain opens and opens of the view follow each other on the same files',
  viewable(),
  async (t) => {
    let readers: Readers | undefined;
    // Hooks run in this order, and nobody may read a mount that ends.
    t.after(() => readers?.end());
    const server = await Server.start();
    t.after(() => server.stop());
    const folder = await temporaryDirectory(t);
    const model = await viewModel(folder);
    const { path: mount } = await server.mount(model.path, { transport: 'kernel', readOnly: true });
    // Before the view is there: these opens wait for it.
    readers = new Readers(model, mount);
    assert.equal((await decided(mount)).kernel_view.state, 'in use');
    const times = join(folder, 'times');
    await copyFile(model.path, times);
    await output('touch', ['-r', model.path, times]);

    for (let round = 0; round < 3; round++) {
      const before = opens(await statusOf(mount));
      await utimes(model.path, new Date(), new Date(2020, 1));
      const suspended = await until(
        () => statusOf(mount),
        (status) => status.stale_reason === 'changed' && opens(status).plain > before.plain + 100,
      );
      assert.equal(suspended.stale_reason, 'changed');
      assert.ok(opens(suspended).plain > before.plain + 100, 'plain opens while it is suspended');
      await output('touch', ['-r', times, model.path]);
      const resumed = await until(
        () => statusOf(mount),
        (status) =>
          status.stale_reason === null && opens(status).throughView > opens(suspended).throughView + 100,
      );
      assert.equal(resumed.stale_reason, null);
      assert.ok(
        opens(resumed).throughView > opens(suspended).throughView + 100,
        'opens of the view after it',
      );
    }

    assert.equal(await readers.end(), '');
    const { counters } = await until(
      () => statusOf(mount),
      (status) => status.counters.kernel_view_open_files === 0,
    );
    assert.equal(counters.kernel_view_open_files, 0);
    assert.equal(counters.kernel_view_failures_total, 0);
    // Plain opens are answered by the inode table, and are counted nevertheless.
    assert.ok((counters.native_opens_total as number) > 100);
  },
);
