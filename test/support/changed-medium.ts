import assert from 'node:assert/strict';
import { diskMedium } from '../../src/storage/disk-medium.ts';
import type { FolderMedium, Medium } from '../../src/storage/medium.ts';

/** The disk, with `change` replacing operations of a state directory's medium. */
export function changedMedium(change: (folder: FolderMedium) => void): Medium {
  return {
    ...diskMedium,
    ownFolder: (directory, options) => {
      const folder = diskMedium.ownFolder?.(directory, options) ?? assert.fail('the disk has folders');
      change(folder);
      return folder;
    },
  };
}
