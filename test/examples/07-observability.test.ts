import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 07: the log is followed, and Prometheus scrapes the metrics',
  requires('fuse', 'prometheus', 'curl', 'addon'),
  async (t) => {
    const output = await runExample(t, '07-observability');
    assert.match(output, /^time=\S+ level=info msg=committed bytes=\d+/m);
    assert.match(
      output,
      /level=warn msg="\/views\/txt\/layers\/1\/linear\/bias\.txt: not replaced: line 1, column 1:/,
    );
    assert.match(output, /^level=info msg="epoch 3 begins" trainer=\d+$/m);
    assert.match(output, /^mlfs_commits_total 1$/m);
    assert.match(output, /^mlfs_read_bytes_total\{room="views",plane="data"\} [1-9]\d*$/m);
    assert.match(output, /"__name__":"up".*,"1"\]/);
    assert.match(output, /"__name__":"mlfs_commits_total".*"job":"mlfs".*,"1"\]/);
  },
);
