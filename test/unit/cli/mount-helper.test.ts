import assert from 'node:assert/strict';
import { test } from 'node:test';
import { translateMountHelper } from '../../../src/cli/mount-helper.ts';

const COMMANDS = new Set(['mount', 'ls', 'diff']);

test('the line that mount(8) runs becomes the mount command', () => {
  assert.deepEqual(translateMountHelper(['/a/x.pt', '/mnt/m', '-o', 'ro,dev,suid'], COMMANDS), [
    ...['mount', '-o', 'ro,dev,suid', '--'],
    ...['/a/x.pt', '/mnt/m'],
  ]);
  assert.deepEqual(translateMountHelper(['./x.pt', 'm'], COMMANDS), ['mount', '--', './x.pt', 'm']);
  assert.deepEqual(translateMountHelper(['package.json', 'm'], COMMANDS), [
    'mount',
    '--',
    'package.json',
    'm',
  ]);
});

test('commands, options and misspelt commands are left alone', () => {
  for (const argv of [
    ['diff', 'a.pt', 'b.pt'],
    ['ls', '/a/x.pt'],
    ['mout', 'x.pt', '/mnt'],
    ['lss', 'x.pt'],
    ['--help'],
    ['/a/x.pt'],
    ['/a/x.pt', '--json'],
    [],
  ]) {
    assert.deepEqual(translateMountHelper(argv, COMMANDS), argv);
  }
});
