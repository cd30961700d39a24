import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { KernelViews, type ShownTree } from '../../../src/mount/kernel-views.ts';
import type { Image } from '../../../src/storage/image.ts';
import { Log } from '../../../src/telemetry/log.ts';
import type { BuiltTree } from '../../../src/tree/build-tree.ts';
import { recordedSlots } from '../../support/recorded-views.ts';

type Options = ConstructorParameters<typeof KernelViews>[1];

function scene(options: Partial<Options> = {}) {
  const lines: string[] = [];
  const log = new Log({ sink: (line) => lines.push(line.replace(/^.*?msg=/, '')) });
  const views = new KernelViews(log, { choice: 'auto', readOnly: true, transport: 'kernel', ...options });
  return { views, lines, ...recordedSlots() };
}

const report = (options: Partial<Options>) => scene(options).views.report;

/** A tree whose inodes begin at `firstNodeid`, with one file that a view is worth. */
function shown(firstNodeid: number): ShownTree {
  const image = { size: 2 ** 22, base: { fd: 3 } } as unknown as Image;
  const tree = {
    nextNodeid: firstNodeid + 10,
    *known(visit: (inode: object) => void) {
      visit({ nodeid: firstNodeid + 1, image, offset: 0, size: 2 ** 21 });
      yield;
    },
  };
  return { built: { tree } as unknown as BuiltTree, firstNodeid, image };
}

/** Who this process claims to be: not root. */
function beUser(t: TestContext): void {
  const { geteuid } = process;
  process.geteuid = () => 1000;
  t.after(() => {
    process.geteuid = geteuid as () => number;
  });
}

test('a mount that can have no view says why', (t) => {
  assert.match(report({ choice: 'off' }).reason ?? '', /--kernel-view is off/);
  assert.match(report({ readOnly: false }).reason ?? '', /writable/);
  assert.match(report({ transport: 'fuse-native' }).reason ?? '', /fuse-native/);
  beUser(t);
  const asUser = report({});
  assert.deepEqual([asUser.state, asUser.files, asUser.loopDevices], ['off', 0, 0]);
  assert.match(asUser.reason ?? '', /only root/);
});

test('for a user who is not root no open waits for a view', (t) => {
  beUser(t);
  assert.equal(scene().views.wanted, false);
});

test('a read-only mount that can have no view says so in a line of the log', (t) => {
  const linesOf = (options: Partial<Options>) => {
    const { views, lines } = scene(options);
    views.begin(undefined, shown(2));
    return lines;
  };
  assert.deepEqual(linesOf({ transport: 'fuse-native' }), [
    '"no kernel view: the transport is fuse-native"\n',
  ]);
  assert.deepEqual(linesOf({ choice: 'off' }), []);
  assert.deepEqual(linesOf({ readOnly: false }), []);
  assert.deepEqual(linesOf({ readOnly: false, transport: 'fuse-native' }), []);
  beUser(t);
  assert.deepEqual(linesOf({}), ['"no kernel view: only root may attach it (CAP_SYS_ADMIN)"\n']);
});

test('what the kernel refuses, and a view that is in use, are a line of the log each', async () => {
  const { views, lines, of } = scene();
  views.begin({ ...recordedSlots().slots, refusal: 'the kernel has no FUSE passthrough' }, shown(2));
  assert.deepEqual(lines, ['"no kernel view: the kernel has no FUSE passthrough"\n']);
  const other = scene();
  other.views.begin(other.slots, shown(2));
  while (other.views.report.state === 'preparing') await setImmediate();
  assert.equal(other.lines.length, 1);
  assert.match(
    other.lines[0] as string,
    /^"kernel view in use: the kernel reads these files by itself" files=1 /,
  );
  await Promise.all([views.end(), other.views.end()]);
  assert.deepEqual(of('first'), []);
});

test('a suspension that comes before the view begins, or after it, reaches it', async () => {
  const before = scene();
  before.views.suspend(true);
  before.views.begin(before.slots, shown(2));
  assert.equal(before.calls[0], 'first suspend true');
  while (before.views.report.state === 'preparing') await setImmediate();
  assert.match(before.views.report.reason ?? '', /the checkpoint file was changed/);
  before.views.suspend(false);
  assert.equal(before.views.report.reason, undefined);
  await before.views.end();
  assert.deepEqual(before.of('first'), ['suspend true', 'select 3', 'attach', 'suspend false', 'end']);

  const taken = scene();
  taken.views.suspend(true);
  taken.views.suspend(false);
  taken.views.begin(taken.slots, shown(2));
  taken.views.suspend(true);
  await taken.views.end();
  assert.equal(taken.of('first')[0], 'suspend true');
});

test('a suspension of the old view is not one of the new view, and a later one is', async () => {
  const { views, slots, of } = scene();
  views.begin(slots, shown(2));
  views.suspend(true);
  views.replace(shown(12));
  assert.deepEqual(of('2'), ['expect 12-22']);
  views.suspend(true);
  while (views.report.state === 'preparing') await setImmediate();
  await views.end();
  assert.deepEqual(of('2'), ['expect 12-22', 'suspend true', 'select 13', 'attach', 'end']);
});

test('a tree that is replaced before its view begins has none, and the later tree has one', async () => {
  const { views, slots, of } = scene();
  views.suspend(true);
  views.replace(shown(12));
  views.replace(shown(22));
  views.begin(slots, shown(2));
  assert.deepEqual(of('first'), ['end']);
  while (views.report.state === 'preparing') await setImmediate();
  assert.deepEqual(of('2'), ['expect 22-32', 'select 23', 'attach']);
  const suspended = scene();
  suspended.views.replace(shown(12));
  suspended.views.suspend(true);
  suspended.views.begin(suspended.slots, shown(2));
  assert.deepEqual(suspended.of('2').slice(0, 2), ['expect 12-22', 'suspend true']);
  await Promise.all([views.end(), suspended.views.end()]);
});
