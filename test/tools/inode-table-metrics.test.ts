/** The metrics mean the same whether the inode table answers or JavaScript does. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { mountable, Server } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const LAYERS = 20;
const TENSORS = Array.from({ length: LAYERS }, (_, layer) => [
  { name: `layers.${layer}.weight`, dtype: 'float32' as const, shape: [1], fill: Buffer.from('four') },
  { name: `layers.${layer}.bias`, dtype: 'float32' as const, shape: [1], fill: Buffer.from('four') },
]).flat();

/** Walks, reads, and requests that are refused. Two files stay open while the metrics are read. */
const SCENE = `
find $M/model $M/views/npy $M/views/txt -printf '%s %p\\n' > $T/found
cat $M/model/layers/*/*.bin $M/views/npy/layers/1/*.npy $M/views/txt/layers/1/* > $T/read
cat $M/model/nothing 2> $T/error || true
python3 -c 'import sys; print(open(sys.argv[1], "rb").read())' $M/model/layers/1/weight.bin > $T/read
python3 -c 'import os, sys
for name in ("user.nothing", "trusted.nothing"):
    try: os.getxattr(sys.argv[1], name)
    except OSError: pass' $M/model/layers
df $M > $T/free
exec 7< $M/model/layers/3/weight.bin 8< $M/views/npy/layers/3/weight.npy
cat $M/sys/metrics > $T/metrics
cat $M/sys/status.json > $T/status
`;
/** Times and memory differ from mount to mount, and the kernel forgets when it likes. */
const ANYHOW =
  /seconds|memory|heap_bytes|near_periods|mount_info|operation="(batch_)?forget"|operation="interrupt"/;

for (const readOnly of [true, false]) {
  const how = readOnly ? 'read-only' : 'for writing';
  test(`metrics of a mount ${how} are the same without the inode table`, mountable('kernel'), async (t) => {
    const [on, off] = [await measured(t, 'on', readOnly), await measured(t, 'off', readOnly)];
    assert.deepEqual(on.metrics, off.metrics);
    assert.equal(on.opens, off.opens);
    assert.ok(on.answeredNatively > 10 && off.answeredNatively === 0);
    const known = on.metrics.find((line) => line.startsWith('mlfs_inodes_known'));
    assert.ok(Number(known?.split(' ')[1]) > 6 * LAYERS, known);
  });
}

async function measured(t: TestContext, table: string, readOnly: boolean) {
  const server = await Server.start({ launcher: ['env', `MLFS_INODE_TABLE=${table}`] });
  t.after(() => server.stop());
  const at = await WritableMount.create(t, server, 'kernel', TENSORS, { readOnly });
  const said = await at.shellOutput(`${SCENE} cat $T/metrics; echo; echo =====; cat $T/status`);
  const [metrics = '', status = ''] = said.split('=====');
  const { counters } = JSON.parse(status) as { counters: Record<string, number> };
  return {
    metrics: metrics.split('\n').filter((line) => /^\w/.test(line) && !ANYHOW.test(line)),
    opens: counters.opens_total,
    answeredNatively: counters.native_readdirpluses_total ?? 0,
  };
}
