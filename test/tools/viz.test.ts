/** /viz of mounted checkpoints, read by a reader of its own and compared with numpy. */
import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PyDict, type Value } from '../../src/checkpoint/pickle/values.ts';
import { tensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { readFixtures } from '../support/fixtures.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const CHECK = fileURLToPath(new URL('../support/check-events.py', import.meta.url));

interface Checked {
  readonly tensors: number;
  readonly steps: readonly number[];
  readonly tags: readonly string[];
}

async function check(mountpoint: string): Promise<Checked> {
  return JSON.parse(await output(DEBIAN_PYTHON, [CHECK, mountpoint]));
}

/** Numbers like weights, with zeros, NaN and infinities among them. */
function weights(count: number): Buffer {
  const values = new Float32Array(count);
  for (let index = 0; index < count; index++) {
    const uniform = (Math.imul(index + 1, 2654435761) >>> 0) / 2 ** 32;
    values[index] = (uniform - 0.5) ** 3 * 4;
  }
  values.fill(0, 0, count / 10);
  values.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e-40], count / 2);
  return Buffer.from(values.buffer);
}

function dict(entries: readonly (readonly [string, unknown])[]): PyDict {
  const made = new PyDict();
  for (const [key, value] of entries) made.set(key, value as Value);
  return made;
}

async function trained(path: string): Promise<void> {
  const doubles = Buffer.from(new Float64Array([1e300, -1e-300, 0, 3]).buffer);
  const state = dict([
    ['fc.weight', tensorToWrite('float32', [100, 500], weights(50_000))],
    ['fc.bias', tensorToWrite('float32', [3], Buffer.alloc(12))],
    ['wide', tensorToWrite('float64', [4], doubles)],
    ['steps', tensorToWrite('int64', [], Buffer.from(new BigInt64Array([-5n]).buffer))],
    ['none', tensorToWrite('float32', [2], Buffer.from(new Float32Array([Number.NaN, Infinity]).buffer))],
  ]);
  await writeTorchZip(path, {
    root: dict([
      ['state_dict', state],
      ['epoch', 3],
      ['global_step', 1337],
    ]),
  });
}

for (const transport of TRANSPORTS) {
  describe(`through ${transport}`, mountable(transport, 'addon', 'python3-numpy'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    test("the events say of every tensor what numpy says, at the checkpoint's step and time", async (t) => {
      const m = await WritableMount.create(t, server, transport, trained);
      const [name = ''] = await readdir(join(m.path, 'viz'));
      const { mtimeMs } = await stat(m.checkpoint);
      assert.equal(name, `events.out.tfevents.${Math.floor(mtimeMs / 1000)}.mlfs`);
      const script = `
sys.path.insert(0, args[0])
import importlib; reader = importlib.import_module('read_events')
print(json.dumps([event for event in reader.events(args[1])][1]['wall_time']))
`;
      const folder = fileURLToPath(new URL('../../examples/04-tensorboard', import.meta.url));
      const wallTime = Number(await m.python(script, folder, join(m.path, 'viz', name)));
      assert.ok(Math.abs(wallTime * 1000 - mtimeMs) <= 1, `${wallTime}`);
      const checked = await check(m.path);
      assert.deepEqual(checked.steps, [1337]);
      assert.deepEqual(checked.tags, ['fc.weight', 'fc.bias', 'wide', 'steps', 'none']);
    });

    test('an edit shows in the events that are read after it', async (t) => {
      const m = await WritableMount.create(t, server, transport, [
        { name: 'w', dtype: 'float32', shape: [1000], fill: weights(1000) },
        { name: 'b', dtype: 'float32', shape: [1000], fill: weights(1000) },
      ]);
      assert.equal((await check(m.path)).tensors, 2);
      await m.shellOutput(
        'head -c 400 /dev/zero | tr "\\0" "?" | dd of=$M/model/w.bin conv=notrunc status=none',
      );
      assert.equal((await check(m.path)).tensors, 2);
      await m.shellOutput('echo 2.5 > $M/model/b.bin');
      assert.equal((await check(m.path)).tensors, 2);
    });

    test('of every fixture whose elements numpy knows the events are right', async () => {
      let compared = 0;
      for (const { name, path } of readFixtures()) {
        if (!/(state-dict|layers|views|dtypes|big-endian|scripted-net|exported)[^/]*$/.test(name)) continue;
        const { path: mountpoint } = await server.mount(path, { transport, readOnly: true });
        compared += (await check(mountpoint)).tensors;
        await server.unmount(mountpoint);
      }
      assert.ok(compared > 200, `${compared} tensors`);
    });
  });
}
