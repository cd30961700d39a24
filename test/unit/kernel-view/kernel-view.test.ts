import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FileRanges } from '../../../src/kernel-view/file-ranges.ts';
import { KernelView, type KernelViewReport } from '../../../src/kernel-view/kernel-view.ts';
import type { NativeKernelView } from '../../../src/storage/native.ts';
import { fileRanges } from './images.ts';

const MIB = 2 ** 20;

function scene({
  ranges = fileRanges([[5, 64, 2 * MIB]]),
  find = function* () {
    yield;
    return ranges;
  },
  attach = async () => undefined,
}: {
  readonly ranges?: FileRanges;
  readonly find?: () => Generator<void, FileRanges>;
  readonly attach?: NativeKernelView['attach'];
} = {}) {
  const calls: string[] = [];
  const decided: KernelViewReport[] = [];
  const slow: string[] = [];
  let tell: () => void;
  const decision = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const view = new KernelView(
    {
      select: (nodeids) => calls.push(`select ${[...nodeids]}`),
      attach: (...given) => {
        calls.push('attach');
        return attach(...given);
      },
      stopWaiting: () => calls.push('stopWaiting'),
      suspend: (suspended) => calls.push(`suspend ${suspended}`),
      end: () => calls.push('end'),
    },
    {
      ranges: find,
      checkpointFd: 3,
      checkpointBytes: 4 * MIB,
      onDecided: (report) => {
        decided.push(report);
        tell();
      },
      onSlow: (reason) => slow.push(reason),
    },
  );
  return { view, calls, decided, slow, decision };
}

test('a view is selected and attached, and reported once', async () => {
  const { view, calls, decided, decision } = scene();
  assert.equal(view.report.state, 'preparing');
  view.start();
  await decision;
  assert.deepEqual(calls, ['select 5', 'attach']);
  assert.deepEqual(decided, [{ state: 'in use', files: 1, bytes: 2 * MIB, loopDevices: 2 }]);
  await view.end();
  assert.deepEqual(calls, ['select 5', 'attach', 'end']);
});

test('a view that cannot be attached is off, with the step that failed', async () => {
  const { view, calls, decided, decision } = scene({
    attach: () => Promise.reject(new Error('/dev/loop-control: No such file')),
  });
  view.start();
  await decision;
  assert.deepEqual(decided, [
    { state: 'off', reason: '/dev/loop-control: No such file', files: 0, bytes: 0, loopDevices: 0 },
  ]);
  assert.deepEqual(calls, ['select 5', 'attach', 'end']);
});

test('a mount without files that are worth it waits for nothing', async () => {
  const { view, calls, decided, decision } = scene({ ranges: fileRanges([[5, 64, 100]]) });
  view.start();
  await decision;
  assert.deepEqual(calls, ['end']);
  assert.equal(decided[0]?.state, 'off');
});

test('a view that is ended while it is being attached is not reported', async () => {
  const { view, decided } = scene();
  view.start();
  await view.end();
  assert.deepEqual(decided, []);
  view.refuse('too late');
  assert.deepEqual(decided, []);
});

test('work on a view that is given up ends between two slices', async () => {
  let ended = false;
  let completed = false;
  let begun = () => {};
  const searching = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const { view, calls, decided } = scene({
    *find() {
      begun();
      try {
        for (let i = 0; i < 20_000_000; i++) yield;
        completed = true;
      } finally {
        ended = true;
      }
      return fileRanges([]);
    },
  });
  view.start();
  await searching;
  view.refuse('it took too long');
  await view.end();
  assert.deepEqual({ ended, completed }, { ended: true, completed: false });
  assert.deepEqual(calls, ['end', 'end']);
  assert.equal(decided.length, 1);
});

/** An attaching that ends when the test says so. */
function slowAttach() {
  let begun = () => {};
  let finish = () => {};
  const attaching = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const attached = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const attach = () => {
    begun();
    return attached;
  };
  return { attach, attaching, finish };
}

test('a view that takes more than 5 seconds keeps no open waiting, and is used when it is there', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { attach, attaching, finish } = slowAttach();
  const { view, calls, decided, slow, decision } = scene({ attach });
  view.start();
  await attaching;
  t.mock.timers.tick(4999);
  assert.deepEqual(calls, ['select 5', 'attach']);
  t.mock.timers.tick(1);
  assert.deepEqual(calls, ['select 5', 'attach', 'stopWaiting']);
  assert.equal(view.report.state, 'preparing');
  assert.match(view.report.reason ?? '', /^it is not attached after 5 s; the data plane serves until it is$/);
  assert.deepEqual(slow, [view.report.reason]);
  assert.deepEqual(decided, []);
  finish();
  await decision;
  assert.deepEqual(view.report, { state: 'in use', files: 1, bytes: 2 * MIB, loopDevices: 2 });
  assert.deepEqual(calls, ['select 5', 'attach', 'stopWaiting']);
});

test('a view that was decided on, or ended, is not called slow', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const quick = scene();
  quick.view.start();
  await quick.decision;
  const { attach, attaching, finish } = slowAttach();
  const ended = scene({ attach });
  ended.view.start();
  await attaching;
  const end = ended.view.end();
  t.mock.timers.tick(60_000);
  finish();
  await end;
  assert.deepEqual([quick.slow, ended.slow], [[], []]);
  assert.deepEqual(ended.calls, ['select 5', 'attach', 'end']);
});
