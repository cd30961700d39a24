import type { Driver } from '../../drivers/driver.ts';
import { journalBytes, withState } from '../../edits.ts';
import type { Subject } from '../../subject.ts';
import { write } from '../../writing-client.ts';
import { keepsJournal, type Workload } from '../workload.ts';

const BLOCK_BYTES = 4096;
const FLOAT_BYTES = 4;
/** An odd offset, so that nothing is aligned to a page. */
const ODD_OFFSET = 1001;
const EDITS = 100;

/** The cost of an edit on disk beyond its own bytes, by the sizes of the journal's files. Every edited byte differs. */
export const editedBytes: Workload = {
  name: 'edit',
  about:
    'edits of 4 KiB on a page, 4 KiB across pages and one float: bytes of the journal beyond the edit’s own',
  subject: 'shared',
  mostRounds: 1,
  metrics: [
    {
      key: 'pageFirst',
      title: 'journal beyond the first 4 KiB edit, on a page',
      unit: 'bytes',
      better: 'lower',
    },
    {
      key: 'pageLater',
      title: 'journal beyond the 100th 4 KiB edit, on a page',
      unit: 'bytes',
      better: 'lower',
    },
    {
      key: 'acrossFirst',
      title: 'journal beyond the first 4 KiB edit, across pages',
      unit: 'bytes',
      better: 'lower',
    },
    {
      key: 'acrossLater',
      title: 'journal beyond the 100th 4 KiB edit, across pages',
      unit: 'bytes',
      better: 'lower',
    },
    {
      key: 'floatFirst',
      title: 'journal beyond the first edit of one float',
      unit: 'bytes',
      better: 'lower',
    },
    {
      key: 'floatLater',
      title: 'journal beyond the 100th edit of one float',
      unit: 'bytes',
      better: 'lower',
    },
  ],
  appliesTo: keepsJournal,
  measure: async (driver, subject) => {
    const page = await overheads(driver, subject, { bytes: BLOCK_BYTES, shift: 0 });
    const across = await overheads(driver, subject, { bytes: BLOCK_BYTES, shift: ODD_OFFSET });
    const float = await overheads(driver, subject, { bytes: FLOAT_BYTES, shift: 0 });
    return {
      pageFirst: page.first,
      pageLater: page.later,
      acrossFirst: across.first,
      acrossLater: across.later,
      floatFirst: float.first,
      floatLater: float.later,
    };
  },
};

interface Edit {
  readonly bytes: number;
  /** Of its start from a page. */
  readonly shift: number;
}

/** Edits are two pages apart; each is a process that opens, writes, syncs and closes. */
function overheads(driver: Driver, subject: Subject, { bytes, shift }: Edit) {
  return withState(subject, async (state) => {
    const opened = await driver.open(subject, { state });
    try {
      const edit = async (index: number) => {
        const before = await journalBytes(state);
        const offset = opened.offset + index * 2 * BLOCK_BYTES + shift;
        await write({ mode: 'seq', path: opened.path, offset, length: bytes, sync: 'end', invert: true });
        return (await journalBytes(state)) - before - bytes;
      };
      const first = await edit(0);
      for (let index = 1; index < EDITS - 1; index++) await edit(index);
      return { first, later: await edit(EDITS - 1) };
    } finally {
      await opened.close();
    }
  });
}
