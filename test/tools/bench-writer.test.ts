/** What the bench writes arrives: the same bytes natively, behind the C loops and in a mount, whichever way they are written. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Driver } from '../../bench/drivers/driver.ts';
import { mlfsKernel } from '../../bench/drivers/mlfs.ts';
import { native } from '../../bench/drivers/native.ts';
import { plainFiles } from '../../bench/drivers/plain-files.ts';
import { writeLoops } from '../../bench/drivers/write-loop.ts';
import { withFresh } from '../../bench/edits.ts';
import { buildPrograms } from '../../bench/programs.ts';
import { type Subject, Subjects } from '../../bench/subject.ts';
import { keepsJournal } from '../../bench/workloads/workload.ts';
import { nextSeed, type WritePlan, write } from '../../bench/writing-client.ts';
import { requires } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const NEEDS = requires('fuse', 'addon', 'cc', 'pkg-config');
const SIZE = 8 * 2 ** 20;
const BLOCK_BYTES = 4096;

type How = Pick<WritePlan, 'mode' | 'mapped' | 'sync'>;

/** Each writes all blocks of 4 KiB. */
const WAYS: readonly How[] = [
  { mode: 'seq', sync: 'end' },
  { mode: 'random', sync: 64 },
  { mode: 'seq', mapped: true, sync: 'end' },
  { mode: 'random', mapped: true },
];

/** The SHA-256 of each range, computed by another process: this one may not read from its own mounts. */
async function hashes(files: readonly string[], offset: number, length: number): Promise<string[]> {
  const script = 'tail -c +$(($2 + 1)) "$1" | head -c "$3" | sha256sum';
  const lines = files.map((file) => output('sh', ['-c', script, 'sh', file, String(offset), String(length)]));
  return (await Promise.all(lines)).map((line) => line.slice(0, 64));
}

/** The hashes of all tensors after they were written over: of those in a mount of MLFS, or of the plain files behind the driver. */
async function written(driver: Driver, subject: Subject, how: How, seed: number): Promise<string[]> {
  const inMount = await withFresh(driver, subject, async ({ path, tensorPaths, offset, length }) => {
    const all = subject.tensors === undefined ? [path] : (tensorPaths ?? []);
    const [first = path, ...others] = all;
    const plan = { path: first, others, offset, length, block: BLOCK_BYTES, seed, ...how };
    const { bytes, writes } = await write(plan);
    assert.deepEqual([bytes, writes], [length * all.length, (length / BLOCK_BYTES) * all.length]);
    return keepsJournal(driver) ? hashes(all, offset, length) : [];
  });
  if (keepsJournal(driver)) return inMount;
  const { files, offset, length } = await plainFiles(subject);
  return hashes(files, offset, length);
}

async function subjectOf(t: TestContext, kind: 'shared' | 'eight'): Promise<Subject> {
  buildPrograms();
  const subjects = await Subjects.in(await temporaryDirectory(t), SIZE);
  t.after(() => subjects.remove());
  return subjects.get(kind);
}

for (const [kind, files] of [
  ['shared', 1],
  ['eight', 8],
] as const) {
  test(
    `what the bench writes arrives in every way, natively, by the C loops and by a mount: ${kind}`,
    NEEDS,
    async (t) => {
      const subject = await subjectOf(t, kind);
      const seen = new Set<string>();
      for (const how of WAYS) {
        // The bytes follow from the place and the seed, whoever writes them and in which way; each pass overwrites other ones.
        const [seed, otherSeed] = [nextSeed(), nextSeed()];
        const expected = await written(native, subject, { mode: 'seq' }, seed);
        assert.equal(expected.length, files);
        for (const driver of [native, ...writeLoops, mlfsKernel]) {
          await written(driver, subject, { mode: 'seq' }, otherSeed + files);
          const found = await written(driver, subject, how, seed);
          assert.deepEqual(found, expected, `${driver.name}: ${JSON.stringify(how)}`);
        }
        for (const hash of expected) seen.add(hash);
      }
      assert.ok(seen.size >= WAYS.length, 'other seeds are other bytes');
    },
  );
}

test('of several writers none begins when one of them cannot', NEEDS, async (t) => {
  buildPrograms();
  const file = join(await temporaryDirectory(t), 'plain.bin');
  await writeFile(file, Buffer.alloc(BLOCK_BYTES, 7));
  const [before] = await hashes([file], 0, BLOCK_BYTES);
  const missing = `${file}.missing`;
  await assert.rejects(
    write({ mode: 'seq', path: file, others: [missing], offset: 0, length: BLOCK_BYTES }),
    /plain\.bin\.missing: No such file/,
  );
  assert.deepEqual(await hashes([file], 0, BLOCK_BYTES), [before]);
});
