import { read } from '../client.ts';
import type { Driver, Opened } from '../drivers/driver.ts';
import { type TreeListing, treeListing } from '../drivers/tree-listing.ts';
import { statusOf } from '../mount-status.ts';
import { output } from '../programs.ts';
import { resident } from '../resident.ts';
import type { Subject, SubjectKind } from '../subject.ts';
import type { Workload } from './workload.ts';

/**
 * A model of very many tensors, against a C loop that serves the same tree from memory and against a real directory: the time until the mount
 * answers, the first and the second walk, and the files themselves.
 */
function walkOf(
  name: string,
  subject: SubjectKind,
  what: string,
  { mostRounds, withFolder = true }: { mostRounds?: number; withFolder?: boolean } = {},
): Workload {
  return {
    name,
    about: `${what}: mount, find, ls -lR on a fresh mount, open+read+close of 20,000 small tensors, memory of the server`,
    subject,
    ...(mostRounds === undefined ? {} : { mostRounds }),
    metrics: [
      { key: 'mount', title: `${what}: mount, command`, unit: 's', better: 'lower', headline: true },
      { key: 'find', title: `${what}: first find`, unit: 's', better: 'lower', headline: true },
      { key: 'again', title: `${what}: second find`, unit: 's', better: 'lower' },
      { key: 'list', title: `${what}: ls -lR, fresh mount`, unit: 's', better: 'lower', headline: true },
      {
        key: 'open',
        title: `${what}: open+read+close of 20,000`,
        unit: 's',
        better: 'lower',
        headline: true,
      },
      { key: 'rest', title: `${what}: server after the mount`, unit: 'MiB', better: 'lower' },
      { key: 'walked', title: `${what}: server after the walk`, unit: 'MiB', better: 'lower' },
      { key: 'peak', title: `${what}: server, most ever (VmHWM)`, unit: 'MiB', better: 'lower' },
    ],
    // fuse-native and fuse-zip walk in the workload `many`.
    appliesTo: ({ treeOnly, direct, name: driver }) =>
      treeOnly ? withFolder || !direct : driver === 'mlfs view' || driver === 'mlfs kernel',
    measure: async (driver, subject) => {
      const listing = await treeListing(subject);
      const walked = await mountAndWalk(driver, subject, listing);
      return { ...walked, ...(await listAndOpen(driver, subject, listing)) };
    },
  };
}

export const walk: Workload = walkOf('walk', 'many', '20,000 tensors');
export const walkExperts: Workload = walkOf('walk-experts', 'experts', '91,991 tensors in a .pt', {
  mostRounds: 2,
});
/** Its tree is that of the .pt, so the real directory is not made again. */
export const walkSafetensors: Workload = walkOf(
  'walk-safetensors',
  'experts-safetensors',
  '91,991 tensors in a .safetensors',
  { mostRounds: 2, withFolder: false },
);

async function mountAndWalk(driver: Driver, subject: Subject, listing: TreeListing) {
  const start = performance.now();
  const opened =
    (await driver.launch?.(subject, 'command')) ?? (await driver.open(subject, { tinyFiles: true }));
  const mount = driver.direct ? Number.NaN : secondsSince(start);
  try {
    const pid = await serverOf(driver, opened);
    const rest = await memoryOf(pid);
    const find = await timed(listing, 'find', [opened.root, '-mindepth', '1']);
    const again = await timed(listing, 'find', [opened.root, '-mindepth', '1']);
    const walked = await memoryOf(pid);
    return { mount, find, again, rest: rest.total, walked: walked.total, peak: walked.peak };
  } finally {
    await opened.close();
  }
}

/** The files are opened when the kernel knows their names, as a program that loads a model again and again finds them. */
async function listAndOpen(driver: Driver, subject: Subject, listing: TreeListing) {
  const opened = await driver.open(subject, { tinyFiles: true });
  try {
    const list = await timed(listing, 'ls', ['-lR', opened.root]);
    const { passes } = await read({ mode: 'files', path: opened.root, list: listing.files });
    const [pass] = passes;
    if (pass?.reads !== listing.fileCount) throw new Error(`${pass?.reads} of the files were read`);
    return { list, open: pass.seconds };
  } finally {
    await opened.close();
  }
}

/** Seconds that a walk takes. Throws if it saw another number of entries than there are. */
async function timed(listing: TreeListing, program: 'find' | 'ls', args: readonly string[]): Promise<number> {
  const start = performance.now();
  const printed = await output(program, args);
  const seconds = secondsSince(start);
  const lines = printed.split('\n');
  const seen = lines.filter((line) => (program === 'find' ? line !== '' : /^[-d]/.test(line))).length;
  if (seen !== listing.entries) throw new Error(`${program} saw ${seen} of ${listing.entries} entries`);
  return seconds;
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

/** A command leaves its server behind; the mount says which process that is. Undefined if nothing is mounted. */
async function serverOf(driver: Driver, opened: Opened): Promise<number | undefined> {
  if (driver.direct) return undefined;
  if (opened.pid || opened.documents === undefined) return opened.pid;
  return (await statusOf(opened.documents)).pid;
}

async function memoryOf(pid: number | undefined) {
  return pid === undefined ? { total: Number.NaN, peak: Number.NaN } : resident(pid);
}
