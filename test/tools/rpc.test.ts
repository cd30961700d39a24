/** /rpc through real mounts: a worker in Python, callers in shell and Python. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, scene, serverPid } from '../support/cli-scene.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { runMlfs, spawnMlfs } from '../support/run-mlfs.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const TENSORS = [{ name: 'w', dtype: 'float32', shape: [1], fill: Buffer.alloc(4) }] as const;

/** Answers with the input in capitals; `fail`, `die` and `noise` say what else it does. */
const WORKER = `
import json, os, sys, time
for line in sys.stdin:
    request = json.loads(line)
    text = open(request['input']).read()
    if text.startswith('die'): os._exit(3)
    if text.startswith('slow'): time.sleep(60)
    if text.startswith('noise'): print('{"id": "nobody"} loading weights', flush=True)
    if text.startswith('fail'):
        print(json.dumps({'id': request['id'], 'ok': False, 'error': 'this is no number'}), flush=True)
        continue
    with open(request['output'], 'r+') as file: file.write(text.upper())
    print(json.dumps({'id': request['id'], 'ok': True}), flush=True)
`;

const ask = (id: string, text: string) =>
  `mkdir $M/rpc/${id}; printf '${text}' > $M/rpc/${id}/input.txt; cat $M/rpc/${id}/output.txt`;

/** The command line, for programs that start it themselves. */
const COMMAND = [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
  fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url)),
];

const toStop = new WeakMap<TestContext, (() => Promise<unknown>)[]>();

for (const transport of TRANSPORTS) {
  describe(`${transport}:`, mountable(transport), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    /** Hooks run in the order of their making: who serves ends before the mount does. */
    const mounted = (t: TestContext, rpcTimeoutMs = 60_000) => {
      const stops: (() => Promise<unknown>)[] = [];
      toStop.set(t, stops);
      t.after(() => Promise.all(stops.map((stop) => stop())));
      return WritableMount.create(t, server, transport, TENSORS, { rpcTimeoutMs });
    };

    /** `mlfs serve`, ended with the test. */
    async function serving(t: TestContext, at: WritableMount) {
      const worker = join(at.folder, 'worker.py');
      await writeFile(worker, WORKER);
      const child = spawnMlfs(['serve', at.path, '--worker', `${DEBIAN_PYTHON} ${worker}`]);
      let said = '';
      child.stderr?.on('data', (chunk) => {
        said += chunk;
      });
      const ended = once(child, 'exit');
      const stop = async () => {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
        return (await ended)[0];
      };
      toStop.get(t)?.push(stop);
      await eventually('it serves', async () => said.includes('is served'));
      return { child, stop, said: () => said };
    }

    test('a call is a folder: its input is written, its output is waited for', async (t) => {
      const at = await mounted(t);
      const asked = at.shellOutput(ask('1', 'hello'));
      const worker = await serving(t, at);
      assert.equal(await asked, 'HELLO', 'asked before anybody served');
      assert.equal(await at.shellOutput(ask('2', 'noise and all')), 'NOISE AND ALL');
      await eventually('noise is passed on', async () => worker.said().includes('worker: {"id": "nobody"}'));
      assert.equal(await at.shellOutput('cat $M/rpc/2/status'), 'done\n');
      assert.equal(
        await at.shellOutput('printf again > $M/rpc/2/input.txt; cat $M/rpc/2/output.txt'),
        'AGAIN',
      );
      await at.shellOutput('rm -r $M/rpc/1 $M/rpc/2; test "$(cd $M/rpc; echo */)" = workers/');
      assert.equal(await worker.stop(), 0);
    });

    test('an error of the worker is EIO and a readable error', async (t) => {
      const at = await mounted(t);
      await serving(t, at);
      const { code, stderr } = await at.shell(ask('1', 'fail'));
      assert.equal(code, 1);
      assert.match(stderr, /Input\/output error/);
      assert.equal(await at.shellOutput('cat $M/rpc/1/error $M/rpc/1/status'), 'this is no number\nfailed\n');
      await at.shell('cat $M/rpc/1/output.txt');
      const log = await at.log();
      assert.equal(log.match(/level=warn msg="\/rpc\/1: this is no number"/g)?.length, 1);
      assert.match(log, /level=info msg="\/rpc: a worker takes calls"/);
      await at.shellOutput(`${ask('2', 'well')} > /dev/null`);
      const metrics = await at.shellOutput('cat $M/sys/metrics');
      assert.match(metrics, /^mlfs_rpc_workers 1$/m);
      assert.match(metrics, /^mlfs_rpc_calls_total{result="done"} 1$/m);
      assert.match(metrics, /^mlfs_rpc_calls_total{result="failed"} 1$/m);
    });

    test('a worker that dies answers with how it ended, and another one goes on', async (t) => {
      const at = await mounted(t);
      const { said } = await serving(t, at);
      const { code } = await at.shell(ask('1', 'die'));
      assert.equal(code, 1);
      assert.equal(await at.shellOutput('cat $M/rpc/1/error'), 'the worker ended with exit code 3\n');
      assert.equal(await at.shellOutput(ask('2', 'still there')), 'STILL THERE');
      assert.match(said(), /1: failed: the worker ended with exit code 3/);
    });

    test('who serves and is killed leaves the call to the next', async (t) => {
      const at = await mounted(t);
      const first = await serving(t, at);
      const asked = at.shell('mkdir $M/rpc/1; printf slow > $M/rpc/1/input.txt; cat $M/rpc/1/output.txt');
      await eventually('it computes', async () =>
        (await at.shellOutput('cat $M/rpc/status')).includes('"running":1'),
      );
      first.child.kill('SIGKILL');
      await once(first.child, 'exit');
      await eventually('it waits again', async () =>
        (await at.shellOutput('cat $M/rpc/status')).includes('"queued":1'),
      );
      await at.shellOutput('printf quick > $M/rpc/1/input.txt');
      await serving(t, at);
      assert.equal((await asked).stdout, 'QUICK');
    });

    test('a shell is a worker: a file opened for reading and writing is a call taken', async (t) => {
      const at = await mounted(t);
      const asked = at.shellOutput(ask('1', 'hello'));
      await at.shellOutput(`
        cd $M/rpc
        field() { sed -n 's/.*"'$1'":"\\([^"]*\\)".*/\\1/p'; }
        until grep -q '"queued":1' status; do sleep 0.1; done
        exec 3<> workers/shell.1; read -r call <&3
        test "$(echo "$call" | field id)" = 1
        grep -q running 1/status
        exec 3>&-
        until grep -q queued 1/status; do sleep 0.1; done
        exec 3<> workers/shell.2; read -r call <&3
        # Who reads the worker's file sees its call and takes none.
        test "$(field id < workers/shell.2)" = 1
        tr a-z A-Z < "1/$(echo "$call" | field input)" 1<> "1/$(echo "$call" | field output)"
        echo '{"ok": true}' 1<> 1/answer
        exec 3>&-
        exec 3<> workers/shell.3; read -r call <&3
        test "$(echo $call)" = '{}'
      `);
      assert.equal(await asked, 'HELLO');
      assert.equal(await at.shellOutput('ls -a $M/rpc/workers'), '.\n..\n');
    });

    test('of several workers each gets a call of its own', async (t) => {
      const at = await mounted(t);
      const said = await at.python(`
import json, threading, time
from concurrent.futures import ThreadPoolExecutor
for number in range(12):
    os.mkdir(M + '/rpc/%d' % number)
    with open(M + '/rpc/%d/input.txt' % number, 'w') as file: file.write(str(number))
together = threading.Barrier(4)
def worker(name):
    taken = []
    together.wait()
    for take in range(3):
        fd = os.open(M + '/rpc/workers/%s.%d' % (name, take), os.O_RDWR | os.O_CREAT)
        call = json.loads(os.read(fd, 4096))
        taken.append(call['id'])
        # Long enough for the others to have theirs open meanwhile.
        time.sleep(0.1)
        with open(M + '/rpc/%s/output.txt' % call['id'], 'r+') as file: file.write('by ' + name)
        with open(M + '/rpc/%s/answer' % call['id'], 'r+') as file: file.write('{"ok": true}')
        os.close(fd)
    return taken
with ThreadPoolExecutor(4) as pool: taken = list(pool.map(worker, 'abcd'))
for name, calls in zip('abcd', taken):
    for call in calls: assert open(M + '/rpc/%s/output.txt' % call).read() == 'by ' + name
print(sorted(int(call) for calls in taken for call in calls))
`);
      assert.equal(said.trim(), `[${Array.from({ length: 12 }, (_, number) => number).join(', ')}]`);
    });

    test('nobody serves: the wait has an end, can be interrupted, and can be refused', async (t) => {
      const at = await mounted(t, 700);
      const late = await at.shell(ask('1', 'anybody?'));
      assert.match(late.stderr, /timed out/i);
      const said = await at.python(`
import signal
fd = os.open(M + '/rpc/1/status', os.O_RDONLY)
print(os.read(fd, 99).decode().strip())
try: os.open(M + '/rpc/1/output.txt', os.O_RDONLY | os.O_NONBLOCK)
except OSError as refused: print(errno.errorcode[refused.errno])
`);
      assert.deepEqual(said.trim().split('\n'), ['queued', 'EAGAIN']);
      const inTime = await at.shell(
        'timeout -s INT 0.2 cat $M/rpc/1/output.txt; echo "ended with $?"; ls $M/rpc',
      );
      assert.match(inTime.stdout, /ended with 124/);
    });

    test('what is no call is refused', async (t) => {
      const at = await mounted(t);
      const codes = await at.python(`
def refused(what):
    try: what()
    except OSError as error: print(errno.errorcode[error.errno])
    else: print('taken')
os.mkdir(M + '/rpc/1')
refused(lambda: os.mkdir(M + '/rpc/1'))
refused(lambda: os.mkdir(M + '/rpc/1/inner'))
refused(lambda: os.mkdir(M + '/rpc/workers/inner'))
refused(lambda: os.unlink(M + '/rpc/status'))
refused(lambda: open(M + '/rpc/loose.npy', 'w'))
refused(lambda: open(M + '/rpc/1/other.npy', 'w'))
refused(lambda: open(M + '/rpc/1/output.npy', 'r+'))
refused(lambda: os.rename(M + '/rpc/1', M + '/model/1'))
for name in ['/rpc/status', '/rpc/call.npy', '/rpc/1/status', '/rpc', '/rpc/workers', '/rpc/1']:
    refused(lambda: os.truncate(M + name, 0))
with open(M + '/rpc/1/input.npy', 'wb') as file: file.write(b'x' * (5 << 20))
print(os.stat(M + '/rpc/1/input.npy').st_size, len(open(M + '/rpc/1/input.npy', 'rb').read()))
refused(lambda: os.rmdir(M + '/rpc/1'))
os.unlink(M + '/rpc/1/input.npy')
refused(lambda: os.rmdir(M + '/rpc/1'))
`);
      assert.deepEqual(codes.trim().split('\n'), [
        'EEXIST',
        'EPERM',
        'EPERM',
        'EPERM',
        'EPERM',
        'EPERM',
        'EPERM',
        'EXDEV',
        ...(process.getuid?.() === 0 ? ['EPERM', 'EPERM', 'EPERM'] : ['EACCES', 'EPERM', 'EACCES']),
        'EISDIR',
        'EISDIR',
        'EISDIR',
        `${5 << 20} ${5 << 20}`,
        'ENOTEMPTY',
        'taken',
      ]);
    });

    test('many calls at a time are answered, each with its own', async (t) => {
      const at = await mounted(t);
      const { said } = await serving(t, at);
      const answers = await at.python(`
from concurrent.futures import ThreadPoolExecutor
def call(number):
    folder = M + '/rpc/many-%d' % number
    os.mkdir(folder)
    with open(folder + '/input.txt', 'w') as file: file.write('call %d' % number)
    return open(folder + '/output.txt').read() == 'CALL %d' % number
with ThreadPoolExecutor(24) as pool: print(sum(pool.map(call, range(48))))
`);
      assert.equal(Number(answers), 48);
      assert.ok(!said().includes('Warning'), said());
    });
  });
}

describe('mlfs serve, where it cannot go on:', mountable('kernel'), () => {
  test('a mount whose server is killed is not mounted any more', async (t) => {
    const at = await scene(t);
    assert.equal((await runMlfs(['mount', '--transport', 'kernel', at.checkpoint, at.mountpoint])).code, 0);
    const pid = await serverPid(at);
    const child = spawnMlfs(['serve', at.mountpoint, '--worker', 'cat']);
    t.after(() => child.kill('SIGKILL'));
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const ended = once(child, 'close');
    await eventually('it waits for a call', async () =>
      (await readFile(join(at.mountpoint, 'rpc/status'), 'utf8')).includes('"workers":1'),
    );
    process.kill(pid, 'SIGKILL');
    assert.deepEqual(await ended, [0, null], said);
    assert.match(said, /is not mounted any more\n$/);
  });

  test('a mount that has no room for another worker says so, and what to do', async (t) => {
    const server = await Server.start();
    t.after(() => server.stop());
    const at = await WritableMount.create(t, server, 'kernel', TENSORS);
    const said = await at.python(`
import resource, subprocess
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
try:
    while True: held.append(os.open(M + '/rpc/workers/w.%d' % len(held), os.O_RDWR | os.O_CREAT | os.O_NONBLOCK))
except OSError as full: assert full.errno in (errno.ENOSPC, errno.ENFILE), full
command = ${JSON.stringify(COMMAND)}
print(subprocess.run([*command, 'serve', M, '--worker', 'cat'], capture_output=True, text=True))
`);
    assert.match(said, /returncode=4/);
    assert.match(said, /the mount has no room for another worker.*try: End other workers/);
  });
});

describe('one file, one descriptor:', mountable('kernel'), () => {
  test('what is read behind the request is its answer', async (t) => {
    const server = await Server.start();
    const stops: (() => Promise<unknown>)[] = [];
    t.after(async () => {
      for (const stop of stops) await stop();
      await server.stop();
    });
    const at = await WritableMount.create(t, server, 'kernel', TENSORS, { rpcTimeoutMs: 20_000 });
    const worker = join(at.folder, 'worker.py');
    await writeFile(worker, WORKER);
    const child = spawnMlfs(['serve', at.path, '--worker', `${DEBIAN_PYTHON} ${worker}`]);
    const ended = once(child, 'exit');
    stops.push(async () => {
      child.kill('SIGINT');
      await ended;
    });
    const said = await at.python(`
answers = []
for text in [b'first', b'second']:
    fd = os.open(M + '/rpc/call.npy', os.O_RDWR)
    os.write(fd, text)
    answers.append(os.read(fd, 100).decode())
    os.close(fd)
print(' '.join(answers), sorted(os.listdir(M + '/rpc')))
`);
    assert.equal(said.trim(), "FIRST SECOND ['call.npy', 'status', 'workers']");
  });
});
