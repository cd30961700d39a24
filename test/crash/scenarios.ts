/** What people do to a checkpoint, each a story that is cut short at every call. */
import type { EditsLimits } from '../../src/storage/edits.ts';
import type { CheckedEntry, SampleArchive } from './archives.ts';
import * as archives from './archives.ts';
import { entryOf } from './archives.ts';
import { SeededRandom } from './seeded-random.ts';
import type { User } from './user.ts';

export interface Scenario {
  readonly name: string;
  readonly archive: SampleArchive;
  readonly options?: EditsLimits;
  /** Its files have MiBs: CI looks at fewer media. */
  readonly large?: boolean;
  /** It does several things at a time. */
  readonly atATime?: boolean;
  readonly run: (user: User) => Promise<void>;
}

const torch = archives.withDescriptors;
const first = entryOf(torch, 'model/data/0').offset;
const second = entryOf(torch, 'model/data/1').offset;

/** Bytes that differ from whatever other bytes a scenario writes there. */
function bytes(seed: number, length: number): Buffer {
  const key = `${seed} ${length}`;
  const made = MADE.get(key) ?? new SeededRandom(seed).bytes(length);
  MADE.set(key, made);
  return made;
}

const MADE = new Map<string, Buffer>();

/** An edit of every entry that holds tensors, then a commit. */
async function editAndCommit(user: User, entries: readonly CheckedEntry[]): Promise<void> {
  for (const [index, { offset }] of entries.entries()) await user.write(offset + 5, bytes(index + 1, 600));
  await user.commit();
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'the first write ever, which makes the state directory',
    archive: torch,
    run: (user) => user.write(first, bytes(1, 4)),
  },
  {
    name: 'one write, then fsync',
    archive: torch,
    run: async (user) => {
      await user.write(first + 3, bytes(1, 1300));
      await user.flush();
    },
  },
  {
    name: 'several overlapping writes with fsync between',
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 700));
      await user.write(first + 400, bytes(2, 700));
      await user.flush();
      await user.write(first + 100, bytes(3, 500));
      await user.write(first, bytes(4, 60));
      await user.flush();
      await user.write(first + 1000, bytes(5, 300));
    },
  },
  {
    // What is left of a failed write must not go on where a shorter one ends.
    name: 'writes of several runs, and one as long as a first run',
    archive: torch,
    run: async (user) => {
      for (const round of [0, 1, 2]) {
        await user.writeRuns(second + round, [
          [0, bytes(10 + round, 20)],
          [100, bytes(20 + round, 20)],
          [300, bytes(30 + round, 900)],
        ]);
        await user.write(first + 30 * round, bytes(40 + round, 20));
        if (round === 1) await user.flush();
      }
    },
  },
  {
    name: 'an atomic update of two tensors between plain writes',
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 50));
      await user.replace([
        [first + 20, bytes(2, 900)],
        [second, bytes(3, 1500)],
        [second + 2000, bytes(4, 30)],
      ]);
      await user.write(first + 10, bytes(5, 50));
      await user.flush();
      await user.replace([
        [first, bytes(6, 40)],
        [second, bytes(7, 40)],
      ]);
    },
  },
  {
    // Its records are taken away, and others get their numbers and their places.
    name: 'replacements that are given up, between writes and fsyncs',
    archive: torch,
    run: async (user) => {
      await user.giveUp([[first, bytes(1, 900)]]);
      await user.write(first + 20, bytes(2, 60));
      await user.flush();
      await user.giveUp([
        [first, bytes(3, 700)],
        [second, bytes(4, 700)],
      ]);
      await user.write(first + 40, bytes(5, 60));
      await user.giveUp([[second, bytes(6, 60)]]);
      await user.flush();
      await user.write(second, bytes(7, 60));
      await user.commit();
      await user.giveUp([[second, bytes(8, 60)]]);
    },
  },
  {
    name: 'writes and fsyncs at a time',
    atATime: true,
    archive: torch,
    run: async (user) => {
      await Promise.all([
        user.write(first, bytes(1, 200)),
        user.write(second, bytes(2, 200)),
        user.flush(),
        user.write(first + 100, bytes(3, 200)),
        user.flush(),
      ]);
    },
  },
  {
    name: 'commit',
    archive: torch,
    run: async (user) => {
      await user.write(first + 7, bytes(1, 900));
      await user.write(second + 4000, bytes(2, 100));
      await user.commit();
    },
  },
  {
    name: 'commit, a second commit, and a write after it',
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 300));
      await user.commit();
      await user.write(first + 200, bytes(2, 300));
      await user.write(second, bytes(3, 10));
      await user.commit();
      await user.write(second, bytes(4, 20));
    },
  },
  {
    name: 'commit while writes go on',
    atATime: true,
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 300));
      await user.write(second, bytes(2, 300));
      let during: Promise<unknown> | undefined;
      await user.commit(() => {
        during ??= Promise.all([
          user.write(first + 100, bytes(3, 100)),
          user.write(second + 900, bytes(4, 100)),
          user.flush(),
        ]);
        // Without power it fails before anybody waits for it.
        during.catch(() => undefined);
      });
      await during;
      await user.commit();
    },
  },
  {
    name: 'discard, and a write after it',
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 300));
      await user.flush();
      await user.write(second, bytes(2, 300));
      await user.discard();
      await user.write(first + 50, bytes(3, 300));
      await user.flush();
    },
  },
  {
    name: 'discard after a commit',
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 300));
      await user.commit();
      await user.write(first, bytes(2, 300));
      await user.discard();
    },
  },
  {
    name: 'commit --to another file',
    archive: torch,
    run: async (user) => {
      await user.write(first, bytes(1, 300));
      await user.commitTo('/disk/new.pt');
      await user.write(first + 10, bytes(2, 300));
      await user.commit();
    },
  },
  {
    name: 'commit of checksums in local headers',
    archive: archives.withLocalChecksums,
    run: (user) =>
      editAndCommit(user, [
        entryOf(archives.withLocalChecksums, 'model/data/0'),
        entryOf(archives.withLocalChecksums, 'model/data/1'),
      ]),
  },
  {
    name: 'commit of checksums in ZIP64 descriptors',
    archive: archives.withLongDescriptors,
    run: (user) =>
      editAndCommit(user, [
        entryOf(archives.withLongDescriptors, 'model/data/0'),
        entryOf(archives.withLongDescriptors, 'model/data/1'),
      ]),
  },
  {
    name: 'commit of an archive in an archive',
    archive: archives.nested,
    run: (user) =>
      editAndCommit(user, [
        entryOf(archives.nested, 'inner model/data/0'),
        entryOf(archives.nested, 'bundle/extra.bin'),
      ]),
  },
  {
    name: 'compaction of what was written over and over',
    archive: torch,
    options: { limitBytes: 12_000 },
    run: async (user) => {
      await user.write(second, bytes(99, 200));
      for (let round = 0; round < 9; round++) {
        await user.write(first, bytes(round, 1000));
        if (round % 4 === 1) await user.flush();
        await user.settled();
      }
      await user.flush();
    },
  },
  {
    name: 'compaction, then commit',
    archive: torch,
    options: { limitBytes: 8000 },
    run: async (user) => {
      for (let round = 0; round < 6; round++) await user.write(first + round, bytes(round, 900));
      await user.settled();
      await user.commit();
      await user.write(first, bytes(77, 100));
    },
  },
  {
    name: 'an atomic update of several MiB',
    large: true,
    archive: archives.withLargeEntry,
    run: async (user) => {
      const { offset } = entryOf(archives.withLargeEntry, 'model/data/0');
      await user.write(offset + 1_048_000, bytes(1, 2000));
      await user.flush();
      const part = 1024 * 1024;
      await user.replace([
        [offset, bytes(2, part)],
        [offset + part, bytes(3, part)],
        [offset + 2 * part, bytes(4, part)],
      ]);
      await user.write(offset + 10, bytes(5, 10));
      await user.commit();
    },
  },
];
