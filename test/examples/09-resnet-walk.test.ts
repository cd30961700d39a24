import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../support/requires.ts';
import { runExample } from './example.ts';

test(
  'example 9: the walk finds what a ResNet-18 is made of, and its edit is in the checkpoint at the end',
  requires('fuse', 'python3', 'dot'),
  async (t) => {
    const shown = await runExample(t, '09-resnet-walk');
    for (const line of [
      'model/layer3/1/conv2/weight.bin            256 x 256 x 3 x 3',
      'model/layer4/0/downsample',
      '11689512',
      '0000000               0               0               0               0',
    ]) {
      assert.ok(shown.split('\n').includes(line), line);
    }
    assert.match(shown, /\n# resnet18\.pt: 11,689,512 parameters in 122 tensors of \d+ modules\n/);
    assert.match(shown, /\nlayer3\.1\.conv2\.weight +step 0 +589824 elements /);
    assert.match(shown, /\nmnt: committed \S+ kB \([\d,]+ bytes\) in 8 ranges, 16 checksums/);
    assert.match(shown, /every CRC-32 is right\n$/);
    assert.match(shown, /\n +"count": 512000,\n +"min": /);
    // Seven rows of seven columns, each two characters wide.
    const picture = [...shown.matchAll(/^ {3}([ .:\-=+*#%@]{14})$/gm)];
    assert.equal(picture.length, 7);
  },
);
