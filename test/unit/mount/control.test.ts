import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MlfsError } from '../../../src/errors.ts';
import { Control, type ControlActions } from '../../../src/mount/control.ts';
import { Log } from '../../../src/telemetry/log.ts';

const REPORT = { bytes: 4, ranges: 1, checksums: 2, milliseconds: 5 };

function control(actions: Partial<ControlActions> = {}) {
  const lines: string[] = [];
  const never = () => Promise.reject(new Error('was not asked for'));
  const all = {
    commit: never,
    commitTo: never,
    discard: never,
    flush: never,
    reload: never,
    status: never,
    sync: never,
  };
  return {
    control: new Control({ ...all, ...actions }, new Log({ sink: (line) => lines.push(line) })),
    lines,
  };
}

const lastCommand = (asked: Control) => asked.lastFailure?.command;

test('the answer to a command is one JSON document that ends in a newline', async () => {
  const { control: asked, lines } = control({
    commit: async ({ dryRun }) => ({ ...REPORT, ranges: dryRun ? 9 : 1 }),
    commitTo: async () => REPORT,
    flush: async () => undefined,
    reload: async () => ({ reloaded: false }),
    status: async () => ({ dirty_bytes: 0 }),
  });
  assert.equal(await asked.perform('commit\n'), `${JSON.stringify({ command: 'commit', ...REPORT })}\n`);
  assert.deepEqual(JSON.parse(await asked.perform('commit --dry-run')), {
    command: 'commit',
    dry_run: true,
    ...REPORT,
    ranges: 9,
  });
  assert.equal(JSON.parse(await asked.perform('commit --to /new.pt')).to, '/new.pt');
  assert.deepEqual(JSON.parse(await asked.perform('reload')), { command: 'reload', reloaded: false });
  assert.deepEqual(JSON.parse(await asked.perform('flush')), { command: 'flush' });
  assert.equal(lines.length, 5, 'each is a line of the log');
  assert.deepEqual(JSON.parse(await asked.perform('status')), { dirty_bytes: 0 });
  assert.equal(lines.length, 5, 'but looking is none');
});

test('a command that fails is an errno, and the reason is kept for who asks', async () => {
  const refusal = new MlfsError('ERR_MLFS_STALE', 'model.pt: was replaced', { advice: 'mlfs discard' });
  const { control: asked, lines } = control({ commit: () => Promise.reject(refusal) });
  assert.equal(lastCommand(asked), undefined);
  await assert.rejects(asked.perform('commit\n'), { errno: 'ESTALE' });
  const { time, ...failure } = asked.lastFailure ?? { time: '' };
  assert.match(time, /^\d{4}-/);
  assert.deepEqual(failure, {
    command: 'commit',
    code: 'ERR_MLFS_STALE',
    errno: 'ESTALE',
    message: 'model.pt: was replaced',
    advice: 'mlfs discard',
  });
  assert.match(
    lines.join(''),
    /level=error msg="model\.pt: was replaced" command=commit code=ERR_MLFS_STALE advice="mlfs discard"/,
  );
  await assert.rejects(asked.perform('nonsense'), { errno: 'EINVAL' });
  assert.equal(lastCommand(asked), 'nonsense');
});

test('commits, discards and reloads are done one at a time; a flush does not wait for them', async () => {
  const order: string[] = [];
  let finishCommit: () => void = () => undefined;
  const committing = new Promise<void>((resolve) => {
    finishCommit = resolve;
  });
  const { control: asked } = control({
    commit: async () => {
      order.push('commit begins');
      await committing;
      order.push('commit ends');
      return REPORT;
    },
    discard: async () => {
      order.push('discard');
      return REPORT;
    },
    flush: async () => void order.push('flush'),
  });
  const commit = asked.perform('commit');
  const discard = asked.perform('discard');
  await asked.perform('flush');
  finishCommit();
  await Promise.all([commit, discard]);
  assert.deepEqual(
    order.filter((step) => step !== 'flush'),
    ['commit begins', 'commit ends', 'discard'],
  );
  assert.ok(order.indexOf('flush') < order.indexOf('commit ends'));
});
