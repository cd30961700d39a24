/** The inode table answers for the tree without JavaScript: a server whose event loop stands still goes on being walked through. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { run } from '../support/run.ts';
import { mountable, Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const LAYERS = 40;

/** Each ends only if every answer comes without the event loop. $M is the mount, $T an empty folder. */
const WALKS: Readonly<Record<string, string>> = {
  'find with sizes': `test $(find $M/model -type f -name '*.bin' -size +0 | wc -l) = ${2 * LAYERS + 1}`,
  'ls -lR': `test $(ls -lR $M/model | grep -c '\\.bin$') = ${2 * LAYERS + 1}`,
  du: 'du -a $M/model > /dev/null',
  'cp -r': 'cp -r $M/model $T/copy; cmp $T/copy/layers/7/weight.bin $T/weight',
  "Python's open, which asks whether each file is a terminal": `python3 -c 'import sys; assert open(sys.argv[1], "rb").read() == b"four"' $M/model/layers/9/weight.bin`,
  'what is not there': 'test ! -e $M/model/layers/7/weight.npy',
};

for (const [mode, readOnly] of [
  ['read-only', true],
  ['for writing', false],
] as const) {
  test(
    `kernel: a model mounted ${mode} is walked through while the event loop stands still`,
    mountable('kernel'),
    async (t) => {
      const server = await Server.start();
      t.after(() => server.stop());
      const folder = await temporaryDirectory(t);
      const checkpoint = join(folder, 'model.pt');
      const weight = Buffer.from('four');
      await writeTorchZip(checkpoint, {
        tensors: [
          { name: 'norm', dtype: 'uint8', shape: [1], fill: Buffer.of(1) },
          ...Array.from({ length: LAYERS }, (_, layer) => [
            { name: `layers.${layer}.weight`, dtype: 'float32' as const, shape: [1], fill: weight },
            { name: `layers.${layer}.bias`, dtype: 'float32' as const, shape: [1], fill: weight },
          ]).flat(),
        ],
      });
      const copies = join(folder, 'copies');
      await mkdir(copies);
      await writeFile(join(copies, 'weight'), weight);
      const { path } = await server.mount(checkpoint, { transport: 'kernel', readOnly });

      const release = join(folder, 'release');
      await server.block(release);
      // Only after the walks have ended is the event loop set free. It goes on by itself if they wait for it, and then `release` rejects.
      for (const [walk, command] of Object.entries(WALKS)) {
        const { code, stderr } = await run('bash', ['-euc', command], {
          env: { ...process.env, M: path, T: copies },
        });
        assert.equal(code, 0, `${walk}: ${stderr}`);
      }
      await server.release(release);
      await server.unmount(path);
    },
  );
}
