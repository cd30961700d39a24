/** Programs that go through a whole mount, one that may be written and is in use: they end well, and find it afterwards as it was before. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/cli-scene.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { runMlfs, spawnMlfs } from '../support/run-mlfs.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { sharedMount } from '../support/shared-mount.ts';
import { WritableMount } from '../support/writable-mount.ts';

/** TorchScript with an LSTM or so in it: it has every room. */
const CHECKPOINT = fileURLToPath(new URL('../fixtures/torch-2.13/scripted-net.pt', import.meta.url));

/** Each goes through the whole mount and reads what it finds. */
const WALKS: Readonly<Record<string, string>> = {
  'cp -a': 'cp -a $M $T/copy; rm -rf $T/copy',
  // Counters are others the second time.
  tar: 'cd $M; tar cf $T/all.tar .; tar df $T/all.tar --exclude status.json --exclude metrics; rm $T/all.tar',
  'rsync -a': 'rsync -a $M/ $T/synced/; rsync -ai $M/ $T/synced/; rm -rf $T/synced',
  'grep -r': 'grep -rq "nothing has this in it" $M || test $? = 1',
  'grep -r in binary files': 'grep -ra "nothing has this in it" $M || test $? = 1',
  'find -exec cat': 'find $M -type f -exec cat {} + > /dev/null',
  wc: `find $M -type f -printf '%s %p\\n' | sort -k2 > $T/sizes
       find $M -type f -exec wc -c {} \\; | sort -k2 > $T/counts; diff $T/sizes $T/counts`,
  sha256sum: 'find $M -type f -exec sha256sum {} + > /dev/null',
  'ls and du': 'ls -lR $M > /dev/null; du -a $M > /dev/null',
};

/** Computes until it is killed. */
const WORKER = `
import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    text = open(request['input']).read()
    if text == 'slow': time.sleep(1000)
    with open(request['output'], 'r+') as file: file.write(text.upper())
    print(json.dumps({'id': request['id'], 'ok': text != 'bad', 'error': 'no such thing'}), flush=True)
`;

for (const transport of TRANSPORTS) {
  test(
    `${transport}: the mount's bytes are the tensors' bytes that info prints`,
    mountable(transport),
    async (t) => {
      const server = await Server.start();
      t.after(() => server.stop());
      const { path, summary } = await server.mount(CHECKPOINT, { transport, readOnly: true });
      const { tensor_bytes } = JSON.parse(String((await runMlfs(['info', '--json', CHECKPOINT])).stdout));
      assert.equal(summary.bytes, tensor_bytes);
      assert.equal(
        JSON.parse(await readFile(join(path, 'sys/status.json'), 'utf8')).tensor_bytes,
        tensor_bytes,
      );
      assert.match(
        await readFile(join(path, 'sys/metrics'), 'utf8'),
        new RegExp(`^mlfs_tensor_bytes ${tensor_bytes}$`, 'm'),
      );
    },
  );

  const shared = mountable(transport, 'rsync', 'root');
  test(`${transport}: another user copies a mount with allow_other`, shared, async (t) => {
    const server = await Server.start();
    t.after(() => server.stop());
    const at = await sharedMount(t, server, transport);
    await at.root(
      'chmod 777 $T; mkdir $M/rpc/1; printf hello > $M/rpc/1/input.txt; touch $M/activations/array',
    );
    const worker = await open(join(at.path, 'rpc/workers/one'), 'w+');
    for (const walk of Object.values(WALKS)) {
      await at.second(walk.replaceAll('rm -rf ', 'chmod -R u+w $T/[cs]*; rm -rf '));
    }
    await assert.rejects(at.second('echo > $M/rpc/call.npy'), /Permission denied/);
    assert.equal(await at.second('cat $M/rpc/call.npy; cat $M/rpc/1/status'), 'running\n');
    await worker.close();
  });

  describe(`${transport}:`, mountable(transport, 'rsync'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    const stops: (() => Promise<unknown>)[] = [];
    const mounted = (t: TestContext) => {
      t.after(() => Promise.all(stops.splice(0).map((stop) => stop())));
      return WritableMount.create(t, server, transport, (path) => copyFile(CHECKPOINT, path), {
        rpcTimeoutMs: 20_000,
      });
    };

    async function serving(at: WritableMount) {
      const worker = join(at.folder, 'worker.py');
      await writeFile(worker, WORKER);
      const child = spawnMlfs(['serve', at.path, '--worker', `${DEBIAN_PYTHON} ${worker}`]);
      const ended = once(child, 'exit');
      stops.push(async () => {
        child.kill('SIGINT');
        await ended;
      });
      await eventually('a worker waits', async () =>
        (await at.shellOutput('cat $M/rpc/status')).includes('"workers":1'),
      );
    }

    /** Edits that are not committed, arrays, a gradient, lines in the log. */
    const used = `
      weight=$(find $M/model -name '*.bin' -size +4c | head -1)
      printf '\\1\\2\\3\\4' | dd of="$weight" conv=notrunc status=none
      printf 'g' > "\${weight%.bin}.grad"
      mkdir $M/activations/step; printf 'x' > $M/activations/step/loose
      cp $(find $M/views/npy -name '*.npy' | head -1) $M/activations/step/array.npy
      echo 'a line' >> $M/logs/fuse.log
    `;
    const names = "find $M -printf '%P %y %m %n %s %T@ %C@\\n' | sort";

    /** Goes through the mount with each program, and again, and finds it each time as it was. */
    async function assertWalked(at: WritableMount): Promise<void> {
      const before = await at.shellOutput(names);
      for (const [name, walk] of Object.entries(WALKS)) {
        const { code, stdout, stderr } = await at.shell(`set -eo pipefail; ${walk}`);
        assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' }, name);
        assert.equal(await at.shellOutput(names), before, `after ${name}`);
      }
    }

    test('edits are pending and calls wait: every program ends well and changes nothing', async (t) => {
      const at = await mounted(t);
      await at.shellOutput(used);
      await at.shellOutput('for id in 1 2; do mkdir $M/rpc/$id; printf hello > $M/rpc/$id/input.txt; done');
      await at.shellOutput('mkdir $M/rpc/begun');
      await assertWalked(at);
      assert.equal(
        await at.shellOutput('cat $M/rpc/[12]/status $M/rpc/begun/status'),
        'queued\nqueued\nidle\n',
      );
      await serving(at);
      assert.equal(await at.shellOutput('cat $M/rpc/1/output.txt $M/rpc/2/output.txt'), 'HELLOHELLO');
    });

    test('a document of counters is of the moment at each open, though its size and time stay', async (t) => {
      const at = await mounted(t);
      const said = await at.python(`
import re, time
def opens(): return json.load(open(M + '/sys/status.json'))['counters']['requests_open_total']
def scraped(): return re.search('^mlfs_requests_total{operation="open"} ([0-9]+)$', open(M + '/sys/metrics').read(), re.M)[1]
def stat(name): return [getattr(os.stat(M + '/sys/' + name), 'st_' + what) for what in ('size', 'mtime_ns', 'ctime_ns')]
before = [opens(), int(scraped()), stat('status.json'), stat('metrics')]
for turn in range(20): open(M + '/sys/version').close()
after = [opens(), int(scraped()), stat('status.json'), stat('metrics')]
print(after[0] - before[0] >= 20, after[1] - before[1] >= 20, before[2:] == after[2:])
`);
      assert.equal(said.trim(), 'True True True');
    });

    test('a worker waits, and then computes: every program ends well and changes nothing', async (t) => {
      const at = await mounted(t);
      await serving(at);
      await at.shellOutput(`
        for text in good bad; do
          mkdir $M/rpc/$text; printf $text > $M/rpc/$text/input.txt; cat $M/rpc/$text/output.txt 2> /dev/null || true
        done > /dev/null
      `);
      await assertWalked(at);
      await at.shellOutput('mkdir $M/rpc/slow; printf slow > $M/rpc/slow/input.txt');
      await eventually('it computes', async () =>
        (await at.shellOutput('cat $M/rpc/slow/status')).includes('running'),
      );
      await assertWalked(at);
      assert.equal(await at.shellOutput('cat $M/rpc/slow/status'), 'running\n');
    });
  });
}
