import assert from 'node:assert/strict';
import { readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { writeTorchZip } from '../../../src/checkpoint/torch/writer.ts';
import { MlfsError } from '../../../src/errors.ts';
import type { Transport } from '../../../src/fuse/transport/transport.ts';
import type { MountOptions } from '../../../src/mount/mount-options.ts';
import { MountServer } from '../../../src/mount/mount-server.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { recordedSlots } from '../../support/recorded-views.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

const MARK = Buffer.from('edited!!');

interface SceneOptions {
  /** Happens after the checkpoint was opened, and before the mount point answers. */
  readonly whileMounting?: (scene: Pick<Scene, 'replace' | 'lines'>) => Promise<void>;
}

type Scene = Awaited<ReturnType<typeof scene>>;

/** A mount without a kernel: it is attached to nothing, and ends when somebody says so. */
async function scene(t: TestContext, { whileMounting = async () => {} }: SceneOptions = {}) {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'model.pt');
  const write = (to: string, value: number) =>
    writeTorchZip(to, {
      tensors: [{ name: 'w', dtype: 'uint8', shape: [8], fill: Buffer.alloc(8, value) }],
    });
  await write(path, 1);
  const lines: string[] = [];
  const views = recordedSlots();
  let umount: () => void = () => undefined;
  const transport = (fails?: Error): Transport => ({
    name: 'kernel',
    mount: async () => {
      if (fails !== undefined) throw fails;
      await whileMounting({ replace, lines });
      const closed = new Promise<void>((resolve) => {
        umount = resolve;
      });
      return { closed, unmount: async () => umount(), counters: () => ({}), views: views.slots };
    },
  });
  const start = (options: MountOptions, fails?: Error) =>
    MountServer.start(options, {
      checkpointPath: path,
      mountpoint: join(folder, 'mount'),
      transport: transport(fails),
      log: new Log({ sink: (line) => lines.push(line) }),
      notice: () => undefined,
      startedMs: Date.now(),
    });
  /** What a writer of the tensor would do. */
  const edit = async () => {
    const opened = await WritableCheckpoint.open(path);
    const { bytes } = opened.checkpoint.tensors[0]?.tensor.storage ?? {};
    assert.equal(bytes?.kind, 'extent');
    await opened.checkpoint.image.update((update) => update.write(bytes.offset, MARK));
    await opened.close();
  };
  const isFree = async () => {
    const opened = await WritableCheckpoint.open(path);
    await opened.close();
    return true;
  };
  const replace = async () => {
    await write(`${path}.new`, 2);
    await rename(`${path}.new`, path);
  };
  return { path, lines, start, edit, isFree, replace, write, views };
}

const holdsEdits = async (path: string) => (await readFile(path)).includes(MARK);

test('a mount point that cannot be attached leaves nothing behind: the lock, the port, the edits as they were', async (t) => {
  const { path, start, edit, isFree } = await scene(t);
  await edit();
  const refusal = new MlfsError('ERR_MLFS_FUSE', 'no /dev/fuse');
  await assert.rejects(start({ writeBack: true, metricsAddress: '0' }, refusal), refusal);
  assert.equal(await holdsEdits(path), false, 'nothing was mounted, so nothing is written back');
  assert.ok(await isFree());
  const mounted = await start({ writeBack: true });
  assert.equal((await mounted.status()).dirty_bytes, MARK.length);
  await mounted.unmount();
  await mounted.closed;
});

test('a checkpoint that cannot be opened leaves the metrics address free', async (t) => {
  const { path, start, write } = await scene(t);
  const first = await start({ metricsAddress: '0' });
  const address = new URL(first.summary.metricsUrl ?? '').host;
  await first.unmount();
  await first.closed;
  await rm(path);
  await assert.rejects(start({ metricsAddress: address }), { code: 'ERR_MLFS_NOT_FOUND' });
  await write(path, 1);
  const second = await start({ metricsAddress: address });
  await second.unmount();
  await second.closed;
});

test('edits are written back when the mount is gone, and the checkpoint is free then', async (t) => {
  const { path, start, edit, isFree } = await scene(t);
  await edit();
  const mounted = await start({ writeBack: true });
  assert.equal(await holdsEdits(path), false);
  await mounted.unmount();
  await mounted.closed;
  assert.ok(await holdsEdits(path));
  assert.ok(await isFree());
});

test('without writing back the edits stay in the journal', async (t) => {
  const { path, start, edit } = await scene(t);
  await edit();
  const mounted = await start({});
  await mounted.unmount();
  await mounted.closed;
  assert.equal(await holdsEdits(path), false);
  const again = await start({});
  assert.equal((await again.status()).dirty_bytes, MARK.length);
  await again.unmount();
  await again.closed;
});

test('edits that cannot be written back are told with their place, and everything ends all the same', async (t) => {
  const { path, start, edit, isFree, replace } = await scene(t);
  await edit();
  const mounted = await start({ writeBack: true });
  const kept = `${path}.kept`;
  await rename(path, kept);
  await replace();
  await mounted.unmount();
  await assert.rejects(
    mounted.closed,
    /8 bytes of edits were not written back and are kept in .*model\.pt\.mlfs/,
  );
  await rename(kept, path);
  assert.ok(await isFree());
});

test('a mount that ends while it reloads ends after that, and leaves neither of the files locked', async (t) => {
  const { start, isFree, replace } = await scene(t);
  const mounted = await start({ writeBack: true });
  await replace();
  const reloading = mounted.reload();
  await mounted.unmount();
  await mounted.closed;
  assert.deepEqual(await reloading, { reloaded: true, tensors: 1, bytes: 8 });
  assert.ok(await isFree());
});

test('a mount that follows does not take a new file when it is gone', async (t) => {
  const { start, isFree, replace, lines } = await scene(t);
  const mounted = await start({ follow: true, readOnly: true });
  await mounted.unmount();
  await mounted.closed;
  await replace();
  assert.ok(await isFree());
  assert.ok(!lines.some((line) => line.includes('reloaded')));
});

/** Waits for a line of the log. */
async function said(lines: readonly string[], what: RegExp): Promise<void> {
  while (!lines.some((line) => what.test(line))) await sleep(10);
}

test('a checkpoint that is replaced before the mount point answers has a view that is suspended', async (t) => {
  const { start, views, lines } = await scene(t, {
    whileMounting: async ({ replace, lines }) => {
      await replace();
      await said(lines, /not the one that was opened: replaced/);
    },
  });
  const mounted = await start({ readOnly: true });
  assert.equal(views.calls[0], 'first suspend true');
  assert.deepEqual(await mounted.reload(), { reloaded: true, tensors: 1, bytes: 8 });
  // The reload looks again, without waiting for the next look of the watch.
  assert.ok(lines.some((line) => /the checkpoint file is the one that was opened/.test(line)));
  assert.match(views.of('2')[0] as string, /^expect /);
  assert.equal(views.of('2').includes('suspend true'), false);
  await mounted.unmount();
  await mounted.closed;
});

test('a checkpoint that is followed to a new file before the mount point answers has a view of the new file', async (t) => {
  const { start, views } = await scene(t, {
    whileMounting: async ({ replace, lines }) => {
      await replace();
      await said(lines, /msg=reloaded/);
    },
  });
  const mounted = await start({ readOnly: true, follow: true });
  assert.deepEqual(views.of('first'), ['end']);
  assert.match(views.of('2')[0] as string, /^expect /);
  assert.equal((await mounted.status()).state, 'current');
  await mounted.unmount();
  await mounted.closed;
});
