import { rm } from 'node:fs/promises';
import type { Driver, Opened } from '../../drivers/driver.ts';
import { control, withState } from '../../edits.ts';
import { output } from '../../programs.ts';
import { bytesWritten } from '../../resident.ts';
import { median } from '../../statistics.ts';
import type { Subject } from '../../subject.ts';
import { nextSeed, write } from '../../writing-client.ts';
import { editsModel, type Workload } from '../workload.ts';

const EDITS = 100;
const COMMITS = 5;

/** The cost of committing a change, whatever the size of the file around it. Without MLFS the whole file must be written again. */
export const commit: Workload = {
  name: 'commit',
  about: `commit of ${EDITS} edits of 4 KiB at random, in a sparse checkpoint and in one ten times as large; native: the whole smaller file written anew (dd, fsync)`,
  subject: 'sparse',
  mostRounds: 2,
  metrics: [
    { key: 'time', title: `commit of ${EDITS} edits`, unit: 's', better: 'lower', headline: true },
    {
      key: 'timeTenfold',
      title: `commit of ${EDITS} edits, file of ten times the size`,
      unit: 's',
      better: 'lower',
      headline: true,
    },
    { key: 'written', title: 'bytes written for a byte edited', unit: 'bytes/byte', better: 'lower' },
    {
      key: 'writtenTenfold',
      title: 'bytes written for a byte edited, file of ten times the size',
      unit: 'bytes/byte',
      better: 'lower',
    },
  ],
  appliesTo: editsModel,
  measure: async (driver, subject) => {
    if (driver.direct) return rewriting(subject);
    const { tenfold } = subject;
    if (tenfold === undefined) throw new Error(`${subject.path}: has no larger one beside it`);
    const small = await committing(driver, subject);
    const large = await committing(driver, tenfold);
    return {
      time: small.seconds,
      timeTenfold: large.seconds,
      written: small.written,
      writtenTenfold: large.written,
    };
  },
};

/** Medians of several commits through one mount: a single one takes a few milliseconds, mostly the disk's. */
function committing(driver: Driver, subject: Subject) {
  return withState(subject, async (state) => {
    const opened = await driver.open(subject, { state });
    try {
      const commits: { seconds: number; written: number }[] = [];
      for (let count = 0; count < COMMITS; count++) commits.push(await editAndCommit(opened));
      return {
        seconds: median(commits.map(({ seconds }) => seconds)),
        written: median(commits.map(({ written }) => written)),
      };
    } finally {
      await opened.close();
    }
  });
}

async function editAndCommit(opened: Opened) {
  const { path, offset, length, pid = 0 } = opened;
  const seed = nextSeed();
  const edited = await write({ mode: 'random', path, offset, length, count: EDITS, seed });
  const before = await bytesWritten(pid);
  const start = performance.now();
  const answer = await control(opened, 'commit');
  const seconds = (performance.now() - start) / 1000;
  if (!answer.bytes) throw new Error(`nothing was committed: ${JSON.stringify(answer)}`);
  return { seconds, written: ((await bytesWritten(pid)) - before) / edited.bytes };
}

/** The best that torch.save could do: every byte once, and durable, as a commit is. */
async function rewriting(subject: Subject): Promise<Record<string, number>> {
  const copy = `${subject.path}.new`;
  try {
    const start = performance.now();
    await output('dd', [`if=${subject.path}`, `of=${copy}`, 'bs=1M', 'conv=fsync', 'status=none']);
    const seconds = (performance.now() - start) / 1000;
    return { time: seconds, written: subject.size / (EDITS * 4096) };
  } finally {
    await rm(copy, { force: true });
  }
}
