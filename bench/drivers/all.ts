import { cLoops } from './c-loop.ts';
import type { Driver } from './driver.ts';
import { fuseZip } from './fuse-zip.ts';
import { mlfsFuseNative, mlfsKernel, mlfsPlane, mlfsView } from './mlfs.ts';
import { native } from './native.ts';
import { nativeFolder, treeLoop } from './walked-trees.ts';
import { writeLoops } from './write-loop.ts';

/** In the order of the table. */
export const DRIVERS: readonly Driver[] = [
  native,
  nativeFolder,
  ...cLoops,
  treeLoop,
  ...writeLoops,
  mlfsView,
  mlfsPlane,
  mlfsKernel,
  mlfsFuseNative,
  fuseZip,
];
