/**
 * /activations answers as an ordinary folder does: the same calls by the same users in a folder beside the state directory and on the mount,
 * and every answer, mode, owner, size, number of blocks and rise of a time must be the same. What differs is in docs/SEMANTICS.md: the
 * set-id bits (ordinary-folder.py leaves them out of the comparison; security/allow-other holds that they are never kept), links and
 * special files, and for fuse-native what is in ONLY_KERNEL.
 */
import assert from 'node:assert/strict';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { mountable, Server, type TransportName } from '../support/served.ts';
import { sharedMount } from '../support/shared-mount.ts';

const SCRIPT = fileURLToPath(new URL('./ordinary-folder.py', import.meta.url));
const GROUPS = [
  'open',
  'write',
  'truncate',
  'ftruncate',
  'unlink',
  'rename',
  'mkdir',
  'rmdir',
  'chmod',
  'set-id',
  'chown',
  'utimensat',
  'names',
] as const;
type Group = (typeof GROUPS)[number];

/** Cases whose answers depend on who calls, on nanoseconds, or on flags of a rename, none of which fuse-native is told. */
const ONLY_KERNEL: readonly string[] = [
  'open: creating',
  'unlink: an open file',
  'rename: RENAME_NOREPLACE',
  'mkdir: names and modes',
  'chown: times',
];
/** Groups in which a descriptor of the file on disk plays a part, which is ours or the kernel's. */
const OF_OPEN_FILES: readonly Group[] = ['open', 'write', 'truncate', 'ftruncate', 'unlink'];

interface Variant {
  readonly name: string;
  readonly transport: TransportName;
  readonly passthrough: 'on' | 'off';
  readonly groups: readonly Group[];
}

const VARIANTS: readonly Variant[] = [
  { name: 'kernel, passed through', transport: 'kernel', passthrough: 'on', groups: GROUPS },
  { name: 'kernel, served by us', transport: 'kernel', passthrough: 'off', groups: OF_OPEN_FILES },
  {
    name: 'fuse-native',
    transport: 'fuse-native',
    passthrough: 'on',
    groups: GROUPS.filter((group) => !['set-id', 'utimensat', 'names'].includes(group)),
  },
];

type Answers = readonly [title: string, answers: readonly unknown[]][];

async function answersIn(folder: string, group: Group): Promise<Answers> {
  return JSON.parse(await output(DEBIAN_PYTHON, [SCRIPT, group, folder], { timeoutMs: 300_000 }));
}

for (const { name, transport, passthrough, groups } of VARIANTS) {
  describe(`an ordinary folder (${name})`, mountable(transport, 'root', 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start({ launcher: ['env', `MLFS_PASSTHROUGH=${passthrough}`] });
    });
    after(() => server.stop());

    for (const group of groups) {
      test(`${group} answers as it does in a folder on disk`, async (t) => {
        const at = await sharedMount(t, server, transport);
        const plain = join(at.folder, 'plain');
        await mkdir(plain);
        await chmod(plain, 0o755);
        const expected = await answersIn(plain, group);
        const found = await answersIn(join(at.path, 'activations'), group);
        let compared = 0;
        for (const [index, [title, answers]] of expected.entries()) {
          if (transport === 'fuse-native' && ONLY_KERNEL.includes(`${group}: ${title}`)) continue;
          const [otherTitle, others] = found[index] ?? [];
          assert.equal(otherTitle, title);
          assert.equal(others?.length, answers.length, title);
          // One by one, so that a difference is shown and not thousands of equal answers.
          for (const [at, answer] of answers.entries()) assert.deepEqual(others?.[at], answer, title);
          compared += answers.length;
        }
        assert.ok(compared > 0);
      });
    }
  });
}
