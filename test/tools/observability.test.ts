/** The log and the metrics of real mounts, with the programs that people read them with. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { requires } from '../support/requires.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const TENSORS = [{ name: 'w', dtype: 'float32', shape: [4], fill: Buffer.alloc(16) }] as const;

for (const transport of TRANSPORTS) {
  describe(`${transport}:`, mountable(transport), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    test('tail -F goes on when the log is rotated, and grep finds what was rotated out', async (t) => {
      const at = await WritableMount.create(t, server, transport, TENSORS);
      const said = await at.shellOutput(`
        tail -n +1 -s 0.1 -F $M/logs/fuse.log > $T/tail.out 2> $T/tail.err &
        tail=$!
        for block in 1 2 3 4 5; do
          for line in $(seq 250); do printf 'block=%d line=%04d %01000d\\n' $block $line 0; done > $T/lines
          cat $T/lines >> $M/logs/fuse.log
          end=$((SECONDS + 20))
          until grep -q "block=$block line=0250" $T/tail.out || ((SECONDS > end)); do sleep 0.1; done
        done
        kill $tail; wait $tail || true
        grep -c 'block=[1-5] line=' $T/tail.out
        cat $M/logs/fuse.log.1 $M/logs/fuse.log | grep -c 'block=5'
        stat -c %s $M/logs/fuse.log $M/logs/fuse.log.1
        echo refused > $M/logs/fuse.log.1 || echo "read-only"
      `);
      const [followed, kept, size, rotated, refused] = said.trim().split('\n');
      // What tail had not looked at when the log was rotated is in the rotated file alone.
      assert.ok(Number(followed) >= 1000, `${followed} of 1250 lines were followed`);
      assert.equal(Number(kept), 250);
      assert.ok(Number(size) <= 1 << 20 && Number(rotated) <= 1 << 20 && Number(rotated) > 1 << 19);
      assert.equal(refused, 'read-only');
    });

    test('a debug log says what was asked, and reading it to the end makes it no longer', async (t) => {
      const at = await WritableMount.create(t, server, transport, TENSORS, { logLevel: 'debug' });
      const said = await at.shellOutput(`
        test ! -e $M/model/missing
        cat $M/logs/fuse.log > $T/first
        cat $M/logs/fuse.log > $T/second
        cat $M/logs/fuse.log > $T/third
        cmp $T/second $T/third
        cat $T/third
      `);
      assert.match(said, /^time=\S+ level=debug msg=request opcode=(LOOKUP|GETATTR) .*missing.* us=\d+$/m);
      assert.doesNotMatch(said, /fuse\.log/);
    });

    test('requests are not logged where the log does not keep debug lines', async (t) => {
      const at = await WritableMount.create(t, server, transport, TENSORS);
      const said = await at.shellOutput('ls $M/model > $T/listing; cat $M/logs/fuse.log');
      assert.doesNotMatch(said, /msg=request/);
    });

    test('lines of many writers are whole', async (t) => {
      const at = await WritableMount.create(t, server, transport, TENSORS);
      const said = await at.shellOutput(`
        for writer in 1 2 3 4; do
          (for line in $(seq 20); do echo "writer=$writer line=$line $(printf '%06000d' 0) end"; done >> $M/logs/fuse.log) &
        done
        wait
        for line in $(seq 500); do printf 'cat=%03d %0600d end\n' $line 0; done > $T/lines
        cat $T/lines >> $M/logs/fuse.log
        echo -n 'begun ' >> $M/logs/fuse.log
        grep -cE '^writer=[1-4] line=[0-9]+ 0{6000} end$' $M/logs/fuse.log
        grep -cE '^cat=[0-9]{3} 0{600} end$' $M/logs/fuse.log
        tail -1 $M/logs/fuse.log
      `);
      assert.equal(said, '80\n500\nbegun \n');
    });

    test('what is read and written is counted by room, and what is open', async (t) => {
      const at = await WritableMount.create(t, server, transport, [
        { name: 'w', dtype: 'uint8', shape: [300_000], fill: Buffer.alloc(300_000) },
      ]);
      const said = await at.shellOutput(`
        cat $M/model/w.bin $M/views/npy/w.npy > /dev/null
        dd if=/dev/zero of=$M/model/w.bin bs=1000 count=3 conv=notrunc status=none
        mkdir $M/rpc/one
        echo one >> $M/logs/fuse.log
        exec 3< $M/views/json/w.json
        cat $M/sys/metrics
      `);
      const value = (name: string, labels: string) => {
        const line = said.split('\n').find((line) => line.startsWith(`${name}{${labels}} `));
        return Number(line?.split(' ')[1]);
      };
      const plane = transport === 'kernel' ? 'data' : 'control';
      const read = value('mlfs_read_bytes_total', `room="model",plane="${plane}"`);
      assert.ok(read >= 300_000 && read < 400_000, `${read}`);
      const viewed = value('mlfs_read_bytes_total', `room="views",plane="${plane}"`);
      assert.ok(viewed >= 300_128 && viewed < 400_000, `${viewed}`);
      const reads = value('mlfs_read_duration_seconds_count', `room="model",plane="${plane}"`);
      assert.ok(reads >= 1 && reads <= 300);
      assert.equal(
        value('mlfs_read_duration_seconds_bucket', `room="model",plane="${plane}",le="+Inf"`),
        reads,
      );
      assert.equal(value('mlfs_write_bytes_total', 'room="model"'), 3000);
      assert.equal(value('mlfs_writes_total', 'room="model"'), 3);
      assert.equal(value('mlfs_write_bytes_total', 'room="logs"'), 4);
      assert.equal(value('mlfs_open_files', 'room="views"'), 1);
      assert.equal(value('mlfs_requests_total', 'operation="mkdir"'), 1);
    });

    test('the metrics are what promtool accepts', requires('promtool'), async (t) => {
      const at = await WritableMount.create(t, server, transport, TENSORS, { metricsAddress: '127.0.0.1:0' });
      const { metrics_url: url } = await at.status();
      assert.ok(url !== null);
      const scraped = await (await fetch(url)).text();
      assert.match(scraped, /^mlfs_tensors 1$/m);
      assert.match(
        scraped,
        new RegExp(`^mlfs_mount_info{.*transport="${transport}",mode="read-write"} 1$`, 'm'),
      );
      assert.equal(await at.shellOutput('promtool check metrics < $M/sys/metrics'), '');
      await at.again(transport);
      await assert.rejects(fetch(url), 'it ends with the mount');
    });
  });
}
