import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { KernelViews } from '../../../src/mount/kernel-views.ts';
import { Log } from '../../../src/telemetry/log.ts';

const report = (options: Partial<ConstructorParameters<typeof KernelViews>[1]>) =>
  new KernelViews(new Log({ level: 'error' }), {
    choice: 'auto',
    readOnly: true,
    transport: 'kernel',
    ...options,
  }).report;

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
  const views = new KernelViews(new Log({ level: 'error' }), {
    choice: 'auto',
    readOnly: true,
    transport: 'kernel',
  });
  assert.equal(views.wanted, false);
});
