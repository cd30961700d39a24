import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MlfsError } from '../../../src/errors.ts';
import { type ControlCommand, controlLine, parseControl } from '../../../src/targets/control-command.ts';

test('a line of /sys/control is a command, however it is spaced', () => {
  assert.deepEqual(parseControl('commit\n'), { name: 'commit', dryRun: false });
  assert.deepEqual(parseControl('  commit   --dry-run '), { name: 'commit', dryRun: true });
  assert.deepEqual(parseControl('discard'), { name: 'discard' });
  assert.deepEqual(parseControl('commit --to /a b/new.pt\n'), {
    name: 'commit-to',
    path: '/a b/new.pt',
    overwrite: false,
    dryRun: false,
  });
});

test('what a client says is what the mount understands', () => {
  const commands: ControlCommand[] = [
    { name: 'commit', dryRun: true },
    { name: 'commit-to', path: '/a "b"\n --force/ü', overwrite: true, dryRun: false },
    { name: 'commit-to', path: '/x', overwrite: false, dryRun: true },
    { name: 'flush' },
    { name: 'reload' },
    { name: 'status' },
    { name: 'discard' },
  ];
  for (const command of commands) {
    const line = controlLine(command);
    assert.doesNotMatch(line, /\n/);
    assert.deepEqual(parseControl(`${line}\n`), command);
  }
});

test('what is not a command is EINVAL and names the word', () => {
  for (const [line, named] of [
    ['', /an empty line/],
    ['explode', /explode/],
    ['commit now', /commit now/],
    ['discard everything', /discard everything/],
    ['commit --to relative.pt', /relative\.pt: is not an absolute path/],
    ['commit --to', /is not an absolute path/],
    ['commit --to "/unfinished', /is not a JSON string/],
    ['commit --to 5', /is not an absolute path/],
    ['commit --force', /--force without --to/],
  ] as const) {
    assert.throws(
      () => parseControl(line),
      (error: unknown) => error instanceof MlfsError && error.errno === 'EINVAL' && named.test(error.message),
      line,
    );
  }
});
