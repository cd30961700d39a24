import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { requires } from '../support/requires.ts';
import { APPEND_CASES, type Case, INTERRUPT_CASES, READ_CASES } from './cases.ts';
import { type Access, type InodeTable, Mounted, type TransportName } from './mounted.ts';
import { writeImage } from './synthetic.ts';
import { COHERENT_CASES, WRITE_CASES } from './write-cases.ts';

/** A case that takes longer hangs. */
const CASE_TIMEOUT_MS = 60_000;

interface Suite {
  readonly needs: string;
  readonly reading: Readonly<Record<string, Case>>;
  readonly writing: Readonly<Record<string, Case>>;
}

const TRANSPORTS: Readonly<Record<TransportName, Suite>> = {
  kernel: {
    needs: 'addon',
    reading: { ...READ_CASES, ...INTERRUPT_CASES },
    writing: { ...APPEND_CASES, ...WRITE_CASES, ...COHERENT_CASES },
  },
  'fuse-native': { needs: 'fuse-native', reading: READ_CASES, writing: { ...APPEND_CASES, ...WRITE_CASES } },
};

/**
 * Of what the kernel may decide instead of us when everybody may enter: modes, owners, what is created, removed, renamed, cut and opened. The
 * other cases are of bytes. All of them hold (EVERY_CASE=1 runs them).
 */
const PERMISSIONS =
  /^(stat tells|nothing can be changed|the log|lines appended|what (has bytes|the checkpoint|parses)|cp, cat and dd|the size of a file|ftruncate to nothing|scratch|a file that is (renamed|removed)|a removed file|sed -i|outside the writable|modes, owners|a gradient|a line written|fallocate|a file without a name)/;

function ofPermissions(cases: Readonly<Record<string, Case>>): Readonly<Record<string, Case>> {
  if (process.env.EVERY_CASE === '1') return cases;
  return Object.fromEntries(Object.entries(cases).filter(([title]) => PERMISSIONS.test(title)));
}

for (const [transport, { needs, reading, writing }] of Object.entries(TRANSPORTS) as [
  TransportName,
  (typeof TRANSPORTS)[TransportName],
][]) {
  describe(`the ${transport} transport`, requires('fuse', 'python3', needs), () => {
    let folder: string;
    let image: string;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'mlfs-conformance-'));
      image = join(folder, 'image');
      await writeImage(image);
    });
    after(() => rm(folder, { recursive: true, force: true }));

    const suite = (
      name: string,
      access: Access,
      cases: Readonly<Record<string, Case>>,
      inodeTable: InodeTable = 'on',
    ) =>
      describe(name, () => {
        let mounted: Mounted;
        before(async () => {
          const place = `${access.replace(' ', '-')}-${inodeTable}`;
          mounted = await Mounted.start(folder, transport, image, access, place, inodeTable);
        });
        after(() => mounted.stop());
        for (const [title, run] of Object.entries(cases)) {
          test(title, { timeout: CASE_TIMEOUT_MS }, async () => {
            await run(mounted);
          });
        }
        test('it is unmounted and its server ends', { timeout: CASE_TIMEOUT_MS }, async () => {
          assert.equal(await mounted.stop(), 0);
          assert.doesNotMatch(mounted.stderr, /inode table/);
        });
      });
    suite('mounted read-only', 'ro', reading);
    suite('mounted for writing', 'rw', writing);
    if (transport === 'kernel') {
      suite('mounted read-only, without the inode table', 'ro', reading, 'off');
      suite('mounted for writing, without the inode table', 'rw', writing, 'off');
      suite(
        'mounted read-only, where JavaScript answers what the inode table says',
        'ro',
        reading,
        'compare',
      );
      suite(
        'mounted for writing, where JavaScript answers what the inode table says',
        'rw',
        writing,
        'compare',
      );
    }
    // Others than root may say allow_other only where /etc/fuse.conf says so.
    if (process.getuid?.() === 0) {
      suite('mounted read-only for everybody', 'ro everybody', ofPermissions(reading));
      suite('mounted for writing for everybody', 'rw everybody', ofPermissions(writing));
    }

    test('a mount that somebody else unmounts ends the server', { timeout: CASE_TIMEOUT_MS }, async () => {
      const mounted = await Mounted.start(folder, transport, image, 'ro', 'elsewhere');
      const closed = mounted.line('CLOSED');
      const outcome = await mounted.detach('politely');
      assert.equal(outcome.code, 0, outcome.stderr);
      await closed;
      assert.equal(await mounted.ended(), 0);
    });

    test('a mount in use stays; detached lazily, it serves who has it open to the end', {
      timeout: CASE_TIMEOUT_MS,
    }, async () => {
      const mounted = await Mounted.start(folder, transport, image, 'ro', 'in-use');
      const user = mounted.pausing(`
file = open(path('tensors', 'start.bin'), 'rb')
pause()
assert file.read() == start
`);
      await user.paused;
      assert.notEqual((await mounted.detach('politely')).code, 0);
      assert.equal((await mounted.detach('lazily')).code, 0);
      const closed = mounted.line('CLOSED');
      assert.equal(await user.resume(), 0);
      await closed;
      assert.equal(await mounted.ended(), 0);
    });
  });
}
