import { cLoops } from './c-loop.ts';
import type { Driver } from './driver.ts';
import { fuseZip } from './fuse-zip.ts';
import { mlfsFuseNative, mlfsKernel, mlfsKernelView, mlfsReadOnly } from './mlfs.ts';
import { native } from './native.ts';

/** In the order of the table. */
export const DRIVERS: readonly Driver[] = [
  native,
  ...cLoops,
  mlfsKernel,
  mlfsKernelView,
  mlfsReadOnly,
  mlfsFuseNative,
  fuseZip,
];
