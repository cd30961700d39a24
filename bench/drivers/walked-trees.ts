import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { throwIfInterrupted } from '../interrupt.ts';
import { isInstalled, TREE_LOOP } from '../programs.ts';
import { serve } from '../served.ts';
import type { Subject } from '../subject.ts';
import type { Driver } from './driver.ts';
import { entriesOf, type TreeListing, treeListing } from './tree-listing.ts';

/** The honest peer of a walk: the same tree from a plain C program's memory. */
export const treeLoop: Driver = {
  name: 'c-loop tree',
  about: 'libfuse3 low-level loop that serves the same tree from memory, one thread',
  treeOnly: true,
  missing: () => (isInstalled(TREE_LOOP) ? undefined : 'not installed (libfuse3-dev)'),
  open: async (subject) => {
    const listing = await treeListing(subject);
    const served = await serve({ program: TREE_LOOP, args: [listing.path, '%MOUNTPOINT%'] });
    const { mountpoint, pid } = served;
    return { path: mountpoint, offset: 0, length: 0, root: mountpoint, pid, close: served.end };
  },
};

/** The ceiling of a walk: a real directory with the same names and sizes, which the kernel has just seen. */
export const nativeFolder: Driver = {
  name: 'native folder',
  about: 'a real directory with the same tree, its entries in the kernel’s cache',
  treeOnly: true,
  direct: true,
  missing: () => undefined,
  open: async (subject) => {
    const folder = await laidOut(subject);
    return { path: folder, offset: 0, length: 0, root: folder, close: async () => {} };
  },
};

const folders = new WeakMap<Subject, Promise<string>>();

/** Made once, and removed with the subject. */
function laidOut(subject: Subject): Promise<string> {
  const made = folders.get(subject) ?? treeListing(subject).then((listing) => layOut(subject, listing));
  folders.set(subject, made);
  return made;
}

async function layOut(subject: Subject, listing: TreeListing): Promise<string> {
  const root = `${subject.path}.folder`;
  mkdirSync(root);
  for await (const { folder, size, path: name } of entriesOf(listing)) {
    throwIfInterrupted();
    const made = path.join(root, name);
    if (folder) {
      mkdirSync(made);
      await nextTurn();
      continue;
    }
    const fd = openSync(made, 'wx');
    ftruncateSync(fd, size);
    closeSync(fd);
  }
  return root;
}
