import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 05: sshfs shows a mount through a real sshd, and an edit comes back',
  requires('fuse', 'sshfs', 'sshd', 'ssh-keygen', 'addon'),
  async (t) => {
    const output = await runExample(t, '05-sshfs');
    assert.match(output, /^far:\nactivations\nexport\n/m);
    assert.match(output, /^bias\.bin\nbias\.grad\nweight\.bin\nweight\.grad$/m);
    assert.match(output, /^[0-9a-f]{64} {2}-$/m);
    assert.match(output, /^\$ head -1 mnt\/views\/txt\/layers\/1\/linear\/bias\.txt\n1$/m);
    assert.match(output, /layers\.1\.linear\.bias/);
  },
);
