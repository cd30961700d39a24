import { closeSync, openSync, readSync } from 'node:fs';
import { diskBytesOf } from './disk-bytes.ts';
import type { PlannedRead, ReadOutcome, ReadPlan } from './read-plan.ts';
import { scattered } from './scatter.ts';

/** Carries out a plan with synchronous preads, one after another. Opening the files counts. */
export function carryOut(plan: ReadPlan): ReadOutcome {
  const buffer = Buffer.alloc(plan.blockBytes, 1);
  const diskBefore = diskBytesOf('self');
  const start = performance.now();
  const until = start + plan.seconds * 1000;
  const done = plan.order === 'sequential' ? inOrder(plan, buffer, until) : atRandom(plan, buffer, until);
  const seconds = (performance.now() - start) / 1000;
  const diskAfter = diskBytesOf('self');
  const diskBytes = diskBefore === undefined || diskAfter === undefined ? undefined : diskAfter - diskBefore;
  return { ...done, seconds, diskBytes };
}

function inOrder(plan: ReadPlan, buffer: Buffer, until: number) {
  let bytes = 0;
  let reads = 0;
  for (const piece of plan.pieces) {
    const fd = openSync(piece.path, 'r');
    try {
      for (let at = 0; at < piece.length; ) {
        if (performance.now() > until) return { bytes, reads };
        const got = readSync(fd, buffer, 0, Math.min(buffer.length, piece.length - at), piece.offset + at);
        if (got === 0) break;
        at += got;
        bytes += got;
        reads++;
      }
    } finally {
      closeSync(fd);
    }
  }
  return { bytes, reads };
}

function atRandom(plan: ReadPlan, buffer: Buffer, until: number) {
  const blocksOf = plan.pieces.map((piece) => Math.floor(piece.length / plan.blockBytes));
  const starts: number[] = [];
  let blocks = 0;
  for (const count of blocksOf) {
    starts.push(blocks);
    blocks += count;
  }
  const descriptors = new Map<PlannedRead, number>();
  let bytes = 0;
  let reads = 0;
  try {
    for (const block of scattered(blocks)) {
      if (reads % 16 === 0 && performance.now() > until) break;
      const index = lastAtMost(starts, block);
      const piece = plan.pieces[index];
      if (!piece) break;
      let fd = descriptors.get(piece);
      if (fd === undefined) {
        fd = openSync(piece.path, 'r');
        descriptors.set(piece, fd);
      }
      const within = (block - (starts[index] ?? 0)) * plan.blockBytes;
      bytes += readSync(fd, buffer, 0, buffer.length, piece.offset + within);
      reads++;
    }
  } finally {
    for (const fd of descriptors.values()) closeSync(fd);
  }
  return { bytes, reads };
}

/** Index of the last start that is not above `value`; empty pieces share a start, and the last of those has the blocks. */
function lastAtMost(starts: readonly number[], value: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] ?? 0) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
