import { cold } from './cold.ts';
import { comparing, sealing, verifying } from './computing/checks.ts';
import { statistics } from './computing/statistics.ts';
import { firstByte, firstByteOfTerabyte } from './first-byte.ts';
import { manyFiles } from './many-files.ts';
import { mapped } from './mapped.ts';
import { memory } from './memory.ts';
import { placement } from './placement.ts';
import { randomCold, randomHot } from './random.ts';
import { sequential } from './sequential.ts';
import { startUp } from './start-up.ts';
import { walk, walkExperts, walkSafetensors } from './walk.ts';
import type { Workload } from './workload.ts';
import { commit } from './writing/commit.ts';
import { commitWhole } from './writing/commit-whole.ts';
import { dirtyRead } from './writing/dirty-read.ts';
import { editedBytes } from './writing/edited-bytes.ts';
import { mappedWrite } from './writing/mapped.ts';
import { writeMemory } from './writing/memory.ts';
import { randomWrite } from './writing/random.ts';
import { replay } from './writing/replay.ts';
import { rsync } from './writing/rsync.ts';
import { sequentialWrite } from './writing/sequential.ts';
import { writeTogether } from './writing/together.ts';

/** Each in the order of the table. */
export const GROUPS: Readonly<Record<string, readonly Workload[]>> = {
  reading: [
    sequential,
    cold,
    randomHot,
    randomCold,
    placement,
    mapped,
    firstByte,
    firstByteOfTerabyte,
    startUp,
    manyFiles,
    walk,
    walkExperts,
    walkSafetensors,
    memory,
  ],
  writing: [
    editedBytes,
    sequentialWrite,
    randomWrite,
    mappedWrite,
    writeTogether,
    dirtyRead,
    replay,
    commit,
    commitWhole,
    rsync,
    writeMemory,
  ],
  computing: [statistics, sealing, verifying, comparing],
};

export const WORKLOADS: readonly Workload[] = Object.values(GROUPS).flat();
