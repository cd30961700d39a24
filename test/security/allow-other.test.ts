/** What users of a mount may do who did not mount it, on both transports. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { scene } from '../support/cli-scene.ts';
import { output } from '../support/run.ts';
import { spawnMlfs } from '../support/run-mlfs.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { sharedMount } from '../support/shared-mount.ts';

/** Each of these Python expressions must be refused with this errno. */
const refusals = (errnoName: string, ...expressions: string[]) => `
python3 - <<'END'
import errno, os
M, T = os.environ['M'], os.environ['T']
def refused(expression):
    try: eval(expression)
    except OSError as error: assert errno.errorcode[error.errno] == '${errnoName}', (expression, error)
    else: raise AssertionError('was not refused: ' + expression)
for expression in ${JSON.stringify(expressions)}: refused(expression)
END
`;

const modeOf = async (path: string) => (await stat(path)).mode & 0o7777;

async function superOptions(mountpoint: string): Promise<string> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const line = lines.find((text) => text.split(' ')[4] === mountpoint);
  return line?.split(' ').at(-1) ?? '';
}

for (const transport of TRANSPORTS) {
  describe(`another user of a mount (${transport})`, mountable(transport, 'root', 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    test('allow_other alone lets the kernel check', async (t) => {
      const at = await sharedMount(t, server, transport);
      const options = (await superOptions(at.path)).split(',');
      assert.ok(options.includes('allow_other') && options.includes('default_permissions'), options.join());
    });

    test('without allow_other nobody else comes in', async (t) => {
      const at = await sharedMount(t, server, transport, { allowOther: false });
      assert.doesNotMatch(await superOptions(at.path), /allow_other/);
      await at.second(
        refusals('EACCES', 'os.stat(M)', 'os.listdir(M)', 'os.open(M + "/model/0/bias.bin", os.O_RDONLY)'),
      );
    });

    test('a folder of mode 0700 hides what is in it, whatever its mode', async (t) => {
      const at = await sharedMount(t, server, transport);
      for (const room of ['activations', 'model']) {
        await at.root(`
cd $M/${room}
mkdir -m 700 priv
mkdir -m 777 priv/deep
for file in priv/f priv/deep/f; do echo secret > $file; chmod 666 $file; done`);
        const at_ = `M + "/${room}/priv`;
        await at.second(
          refusals(
            'EACCES',
            `os.listdir(${at_}")`,
            `os.stat(${at_}/f")`,
            `os.open(${at_}/f", os.O_RDONLY)`,
            `os.open(${at_}/f", os.O_WRONLY)`,
            `os.open(${at_}/deep/f", os.O_RDWR)`,
            `os.truncate(${at_}/f", 0)`,
            `os.unlink(${at_}/deep/f")`,
            `os.rename(${at_}/f", ${at_}/deep/g")`,
            `os.open(${at_}/deep/new", os.O_CREAT | os.O_WRONLY)`,
            `os.mkdir(${at_}/deep/new")`,
          ),
        );
        assert.equal(await at.root(`cat $M/${room}/priv/f $M/${room}/priv/deep/f`), 'secret\nsecret\n');
      }
    });

    test('a folder that may be searched and not read shows no names, and opens what is known', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root('mkdir -m 711 $M/activations/box; echo known > $M/activations/box/f');
      await at.second(refusals('EACCES', 'os.listdir(M + "/activations/box")'));
      assert.equal(await at.second('cat $M/activations/box/f'), 'known\n');
    });

    test('modes of tensors and their folders are kept', async (t) => {
      const at = await sharedMount(t, server, transport);
      assert.equal(await at.second('wc -c < $M/model/0/bias.bin'), '16\n');
      await at.root('chmod 700 $M/model/0; chmod 600 $M/model/1/weight.bin');
      await at.second(
        refusals(
          'EACCES',
          'os.listdir(M + "/model/0")',
          'os.open(M + "/model/0/bias.bin", os.O_RDONLY)',
          'os.open(M + "/model/1/weight.bin", os.O_RDONLY)',
          'os.open(M + "/model/1/weight.bin", os.O_WRONLY)',
          'os.open(M + "/model/1/weight.grad", os.O_WRONLY)',
          'os.open(M + "/sys/control", os.O_WRONLY)',
          'os.open(M + "/model/1/new", os.O_CREAT | os.O_WRONLY)',
          'os.truncate(M + "/model/1/weight.bin", 16)',
        ),
      );
    });

    test('who takes the right to read from one name of a tensor is told of the others', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root('chmod 600 $M/model/0/bias.bin; chmod 644 $M/model/0/bias.bin; chmod 700 $M/model/1');
      const log = await at.root('cat $M/logs/fuse.log');
      assert.equal(log.match(/\/model\/0\/bias\.bin: mode 600 protects this name only/g)?.length, 1);
      assert.match(log, /\/model\/1: mode 700 protects this name only/);
      // What SEMANTICS.md says of it.
      await at.root('chmod 600 $M/model/0/bias.bin');
      assert.equal(await at.second('wc -c < $M/views/npy/0/bias.npy'), '144\n');
    });

    test('in a sticky folder nobody removes or moves what is another’s', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root(
        'mkdir -m 1777 $M/activations/all; echo r > $M/activations/all/r; mkdir $M/activations/all/d',
      );
      await at.second(
        refusals(
          'EPERM',
          'os.unlink(M + "/activations/all/r")',
          'os.rmdir(M + "/activations/all/d")',
          'os.rename(M + "/activations/all/r", M + "/activations/all/s")',
          'os.chmod(M + "/activations/all/r", 0o666)',
          'os.chown(M + "/activations/all/r", -1, 0)',
          'os.utime(M + "/activations/all/r", (1, 1))',
        ),
      );
      assert.equal(await at.root('cat $M/activations/all/r'), 'r\n');
    });

    test('the mode of /activations itself counts, until the mount ends', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root('echo r > $M/activations/r; chmod 700 $M/activations');
      await at.second(refusals('EACCES', 'os.listdir(M + "/activations")', 'os.stat(M + "/activations/r")'));
      await at.root('chmod 1777 $M/activations');
      await at.second('echo mine > $M/activations/mine; cat $M/activations/r');
      assert.equal(await at.root('stat -c %a $M/activations'), '1777\n');
      assert.equal(await modeOf(at.disk), 0o700);
    });

    test('set-id bits are never made', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root('mkdir -m 777 $M/activations/all');
      const make = `
python3 - <<'END'
import os
os.umask(0)
at = os.environ['M'] + '/activations/' + ('all/' if os.getuid() else '')
os.close(os.open(at + 'f', os.O_CREAT | os.O_WRONLY, 0o6777))
os.mknod(at + 'n', 0o106755)
os.mkdir(at + 'd', 0o6777)
if os.stat(at + 'f').st_uid == os.getuid():
    for name in 'fnd': os.chmod(at + name, 0o6755)
for name in 'fnd': assert os.stat(at + name).st_mode & 0o6000 == 0, name
END
`;
      await at.root(make);
      await at.second(make);
      for (const name of ['f', 'n', 'd', 'all/f', 'all/n', 'all/d']) {
        assert.equal((await modeOf(join(at.disk, name))) & 0o6000, 0, name);
      }
    });

    test('nobody gives a file away, or to a group that he is not in', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root('mkdir -m 777 $M/activations/all');
      await at.second('cp /usr/bin/id $M/activations/all/x');
      await at.second(
        refusals(
          'EPERM',
          'os.chown(M + "/activations/all/x", -1, 0)',
          'os.chown(M + "/activations/all/x", 0, -1)',
        ),
      );
    });

    test('a file that has set-id bits on disk loses them when it is opened for writing, or cut', async (t) => {
      const at = await sharedMount(t, server, transport);
      await at.root('mkdir $M/activations/host');
      const ways = ['write', 'append', 'open only', 'mapped', 'truncate'];
      for (const way of ways) {
        await writeFile(join(at.disk, 'host', way), 'some bytes');
        await chmod(join(at.disk, 'host', way), 0o6777);
      }
      assert.equal(await at.second('stat -c %a $M/activations/host/write'), '777\n');
      await at.second(`
cd $M/activations/host
printf x | dd of=write conv=notrunc status=none
printf x >> append
: >> 'open only'
truncate -s 3 truncate
python3 -c 'import mmap; file = open("mapped", "r+b"); mmap.mmap(file.fileno(), 0)[0:1] = b"x"'`);
      for (const way of ways) assert.equal(await modeOf(join(at.disk, 'host', way)), 0o777, way);
    });
  });

  test(
    `mlfs mount -o allow_other lets the kernel check (${transport})`,
    mountable(transport, 'root'),
    async (t) => {
      const at = await scene(t);
      const args = [
        'mount',
        '-f',
        '--transport',
        transport,
        '-o',
        'allow_other',
        at.checkpoint,
        at.mountpoint,
      ];
      const server = spawnMlfs(args);
      const ended = once(server, 'exit');
      t.after(async () => {
        server.kill();
        await ended;
      });
      await once(server.stdout, 'data');
      assert.match(await superOptions(at.mountpoint), /default_permissions/);
      await output('umount', [at.mountpoint]);
      await ended;
    },
  );
}
