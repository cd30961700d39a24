/** Writes of the data plane as changes of the overlay. */
import type { LaneRun, LaneWrite } from './write-lane.ts';

/** Consecutive writes through one inode. */
export interface InodeWrites {
  readonly nodeid: number;
  /** When the last of them was made. */
  atMs: number;
  readonly runs: LaneRun[];
}

/** Writes that changed something, in their order: two inodes may show the same bytes, and then the later write counts. */
export function byInode(writes: readonly LaneWrite[]): InodeWrites[] {
  const groups: InodeWrites[] = [];
  for (const { nodeid, atMs, runs } of writes) {
    if (runs.length === 0) continue;
    let last = groups.at(-1);
    if (last?.nodeid !== nodeid) {
      last = { nodeid, atMs, runs: [] };
      groups.push(last);
    }
    last.atMs = atMs;
    for (const run of runs) last.runs.push(run);
  }
  return groups;
}
