/** No single user of a mount can take it from the others: what he may have of the server's descriptors and memory is bounded. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { SECOND_USER, sharedDirectory } from '../support/second-user.ts';
import { mountable, Server } from '../support/served.ts';
import { type CheckpointSpec, WritableMount } from '../support/writable-mount.ts';

/** Few enough to be reached at once, and what many systems give. */
const DESCRIPTORS = 1024;
const needs = mountable('kernel', 'root', 'prlimit', 'python3');

const SMALL: CheckpointSpec = [
  { name: 'w', dtype: 'float32', shape: [4], fill: Buffer.alloc(16, 1) },
  { name: 'large', dtype: 'float32', shape: [1000, 1000], fill: Buffer.alloc(4e6, 'text of a tensor') },
];

async function mounted(t: TestContext, options: { readonly metricsAddress?: string } = {}) {
  const limit = `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`;
  const server = await Server.start({ launcher: ['prlimit', limit] });
  t.after(() => server.stop());
  // The second user must be able to get to the mount point.
  await sharedDirectory(t);
  const mount = await WritableMount.create(t, server, 'kernel', SMALL, { allowOther: true, ...options });
  await output('chmod', ['o+x', mount.path.slice(0, mount.path.lastIndexOf('/'))]);
  const descriptors = async () => (await readdir(`/proc/${server.pid}/fd`)).length;
  return { mount, server, descriptors };
}

/** A program of another user. `M` is the mount point; `until_refused` does something until it is refused. */
function programOf(uid: number, script: string): string {
  return `
import errno, json, os, resource, sys
M = sys.argv[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
def until_refused(most, act):
    done = []
    for i in range(most):
        try: done.append(act(i))
        except OSError as cause: return done, errno.errorcode[cause.errno]
    return done, None
os.setgroups([]); os.setgid(${uid}); os.setuid(${uid})
${script}`;
}

/** Runs a program of the second user, which prints a JSON document. */
async function asSecondUser(mount: WritableMount, script: string): Promise<Record<string, unknown>> {
  return JSON.parse(await output(DEBIAN_PYTHON, ['-c', programOf(SECOND_USER.uid, script), mount.path]));
}

/** Starts a program of a user, which is ended with the test; resolves with the document that it prints first. */
async function holding(t: TestContext, mount: WritableMount, uid: number, script: string) {
  const child = spawn(DEBIAN_PYTHON, ['-c', programOf(uid, script), mount.path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  return JSON.parse(String(line)) as { readonly held: number; readonly refusal: string };
}

/** Edits, gradients, scratch files, activations, documents and the log, as the owner of the mount uses them. */
async function everythingWorks(mount: WritableMount): Promise<void> {
  await mount.python(`
def write(path, data, flags=os.O_WRONLY):
    fd = os.open(M + path, flags, 0o644)
    assert os.write(fd, data) == len(data)
    os.close(fd)
write('/model/w.bin', os.urandom(8))
write('/model/w.grad', os.urandom(8))
write('/model/scratch', b'bytes', os.O_CREAT | os.O_WRONLY)
os.unlink(M + '/model/scratch')
write('/model/w.bin', os.urandom(16), os.O_WRONLY | os.O_TRUNC)
write('/activations/x.npy', b'bytes', os.O_CREAT | os.O_WRONLY)
write('/logs/fuse.log', b'a line\\n', os.O_WRONLY | os.O_APPEND)
for path in ['/sys/status.json', '/sys/metrics', '/sys/tensors.json', '/views/txt/w.txt', '/views/json/w.json', '/model/large.bin']:
    assert len(open(M + path, 'rb').read()) > 0, path
for path in ['/', '/model', '/views/npy', '/activations', '/rpc']: os.listdir(M + path)
assert json.load(open(M + '/sys/status.json'))['rss_bytes'] > 0
`);
  assert.doesNotMatch(await mount.log(), /EMFILE|ENFILE: file table|at .*\.[jt]s:\d+/);
}

test(
  'clients of the metrics that never finish a request take no descriptors of the mount',
  needs,
  async (t) => {
    const { mount, descriptors } = await mounted(t, { metricsAddress: '127.0.0.1:0' });
    const url = new URL((await mount.status()).metrics_url ?? '');
    const before = await descriptors();
    const slow: Socket[] = [];
    t.after(() => {
      for (const socket of slow) socket.destroy();
    });
    for (let count = 0; count < 1500; count++) {
      const socket = connect(Number(url.port), url.hostname);
      socket.on('error', () => undefined);
      slow.push(socket);
      await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: ');
      if (count % 500 === 499) await everythingWorks(mount);
    }
    assert.ok((await descriptors()) < before + 100, `${await descriptors()} descriptors`);
    assert.equal((await fetch(url)).status, 200);
  },
);

test(
  'who writes into scratch files without end gets ENOSPC, and everybody else goes on',
  needs,
  async (t) => {
    const { mount } = await mounted(t);
    await output('chmod', ['777', mount.model()]);
    const script = (base: string) => `
def act(i):
    with open(f'{M}/model/${base}{i}', 'wb', 0) as file: file.write(b'x')
done, refusal = until_refused(5000, act)
print(json.dumps({'done': len(done), 'refusal': refusal}))`;
    const { done, refusal } = await asSecondUser(mount, script('s'));
    assert.equal(refusal, 'ENOSPC');
    assert.ok(Number(done) >= 200 && Number(done) < DESCRIPTORS / 2, `${done} files`);
    await everythingWorks(mount);
    assert.match(
      await mount.log(),
      new RegExp(`user ${SECOND_USER.uid} may have at most ${done} of the server's desc`),
    );
    // What he has he may use, and what he removes he may make again.
    const again = await asSecondUser(
      mount,
      `
assert open(f'{M}/model/s0', 'rb').read() == b'x'
for i in range(${done}): os.unlink(f'{M}/model/s{i}')
os.unlink(f'{M}/model/s${done}')
${script('again')}`,
    );
    assert.deepEqual(again, { done, refusal: 'ENOSPC' });
  },
);

test('who opens activations without end gets ENFILE, and everybody else goes on', needs, async (t) => {
  const { mount, descriptors } = await mounted(t);
  await everythingWorks(mount);
  const { held, refusal } = await asSecondUser(
    mount,
    `
held, refusal = until_refused(5000, lambda i: os.open(M + '/activations/x.npy', os.O_RDONLY))
csv, csv_refusal = until_refused(5000, lambda i: os.open(M + '/activations/x.csv', os.O_RDONLY))
assert csv_refusal == 'ENFILE' and len(csv) == 0, (csv_refusal, len(csv))
print(json.dumps({'held': len(held), 'refusal': refusal}))`,
  );
  assert.equal(refusal, 'ENFILE');
  assert.ok(Number(held) >= 200 && Number(held) < DESCRIPTORS / 2, `${held} open files`);
  await everythingWorks(mount);
  assert.ok((await descriptors()) < 200, 'what he had open was closed with him');
});

test('while a user holds all that he can, others have as much as they need', needs, async (t) => {
  const { mount } = await mounted(t);
  await everythingWorks(mount);
  const script = `
held, refusal = until_refused(5000, lambda i: os.open(M + '/activations/x.npy', os.O_RDONLY))
print(json.dumps({'held': len(held), 'refusal': refusal}), flush=True)
sys.stdin.readline()`;
  const holders = [SECOND_USER.uid, SECOND_USER.uid + 1].map((uid) => holding(t, mount, uid, script));
  for (const holder of holders) assert.equal((await holder).refusal, 'ENFILE');
  await everythingWorks(mount);
});

test(
  'thousands of open texts of a tensor are one in memory, and many tensors’ are bounded',
  needs,
  async (t) => {
    const { mount, server } = await mounted(t);
    const before = await server.memory();
    const { held } = await asSecondUser(
      mount,
      `
held, refusal = until_refused(3000, lambda i: os.open(M + '/views/txt/large.txt', os.O_RDONLY))
assert refusal is None, refusal
assert len({os.pread(fd, 100, 1 << 20) for fd in held}) == 1
print(json.dumps({'held': len(held)}))`,
    );
    assert.equal(held, 3000);
    const after = await server.memory('VmHWM');
    assert.ok(after - before < 300e6, `${after - before} bytes more for 3,000 open texts`);
    await everythingWorks(mount);
  },
);

test('a removed scratch file or folder leaves nothing behind in the server', needs, async (t) => {
  const { mount } = await mounted(t);
  await mount.python(`
for i in range(3000):
    open(M + '/model/s', 'wb').close()
    os.unlink(M + '/model/s')
    os.mkdir(M + '/model/d')
    os.rmdir(M + '/model/d')
`);
  const { inodes_known } = (await mount.status()).counters as Record<string, number>;
  assert.ok((inodes_known ?? 0) < 500, `${inodes_known} inodes`);
});
