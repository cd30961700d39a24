import { cold } from './cold.ts';
import { firstByte, firstByteOfTerabyte } from './first-byte.ts';
import { manyFiles } from './many-files.ts';
import { mapped } from './mapped.ts';
import { memory } from './memory.ts';
import { placement } from './placement.ts';
import { randomCold, randomHot } from './random.ts';
import { sequential } from './sequential.ts';
import type { Workload } from './workload.ts';

/** In the order of the table. */
export const WORKLOADS: readonly Workload[] = [
  sequential,
  cold,
  randomHot,
  randomCold,
  placement,
  mapped,
  firstByte,
  firstByteOfTerabyte,
  manyFiles,
  memory,
];
