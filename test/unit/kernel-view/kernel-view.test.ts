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
    },
  );
  return { view, calls, decided, decision };
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
  const { view, calls, decided } = scene({
    *find() {
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
  view.refuse('it took too long');
  await view.end();
  assert.deepEqual({ ended, completed }, { ended: true, completed: false });
  assert.deepEqual(calls, ['end', 'end']);
  assert.equal(decided.length, 1);
});
