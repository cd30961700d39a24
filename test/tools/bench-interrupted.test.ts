/** An interrupted bench leaves nothing: no mount, no checkpoint, no server. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../support/requires.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const NEEDS = requires('fuse', 'addon', 'cc');

interface Moment {
  readonly name: string;
  readonly script: string;
  readonly options: readonly string[];
  /** Said on stdout or stderr when the moment is there. */
  readonly said: RegExp;
}

const RUN = ['--quick', '--rounds', '1', '--tensors', '3000', '--out', '/nowhere', '--only', 'walk'];

const WRITE = ['--quick', '--size', '64', '--rounds', '1', '--out', '/nowhere', '--only'];

const MOMENTS: readonly Moment[] = [
  { name: 'the tree is written down', script: 'run', options: RUN, said: /native folder/ },
  { name: 'the C loop is walked', script: 'run', options: RUN, said: /0\/1 c-loop tree/ },
  { name: 'a mount is walked', script: 'run', options: RUN, said: /0\/1 mlfs kernel/ },
  {
    name: 'eight programs write through a C loop',
    script: 'run',
    options: [...WRITE, 'write-together'],
    said: /0\/1 c-loop store-threads/,
  },
  {
    name: 'a journal is written and replayed',
    script: 'run',
    options: [...WRITE, 'replay'],
    said: /1\/1 mlfs kernel/,
  },
  {
    name: 'a wholly edited tensor is committed',
    script: 'run',
    options: [...WRITE, 'commit-whole'],
    said: /1\/1 mlfs kernel/,
  },
  {
    name: 'numpy computes statistics',
    script: 'run',
    options: [...WRITE, 'statistics'],
    said: /1\/1 native/,
  },
  { name: 'the large model is walked', script: 'large', options: ['--tensors', '3000'], said: /first find/ },
  { name: 'reads are counted', script: 'quiet', options: ['--size', '64'], said: /mlfs kernel/ },
];

for (const { name, script, options, said } of MOMENTS) {
  test(`a bench that is interrupted while ${name} leaves nothing`, NEEDS, async (t) => {
    const scratch = await temporaryDirectory(t);
    const file = fileURLToPath(new URL(`../../bench/${script}.ts`, import.meta.url));
    const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), file, ...options], {
      env: { ...process.env, TMPDIR: scratch },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = once(child, 'close');
    let printed = '';
    let interrupted = false;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
        if (interrupted || !said.test(printed)) return;
        interrupted = true;
        child.kill('SIGINT');
      });
    }
    const [code] = await ended;
    assert.ok(interrupted, printed);
    assert.equal(code, 130, printed);
    assert.doesNotMatch(printed, /^bench: /m);
    assert.ok(!(await readFile('/proc/self/mounts', 'utf8')).includes(scratch), 'nothing stays mounted');
    const left = (await readdir(scratch)).filter((entry) => entry.startsWith('mlfs-bench-'));
    assert.deepEqual(left, [], printed);
  });
}
