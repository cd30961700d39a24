import { errno } from '../../src/errors.ts';
import { TreeFilesystem } from '../../src/fuse/tree-filesystem.ts';
import { ByteRanges } from '../../src/storage/byte-ranges.ts';
import { Checksums } from '../../src/storage/checksums.ts';
import type { CommandContent } from '../../src/storage/content.ts';
import { diskMedium } from '../../src/storage/disk-medium.ts';
import { Edits } from '../../src/storage/edits.ts';
import type { Image } from '../../src/storage/image.ts';
import { StateDirectory } from '../../src/storage/state-directory.ts';
import { FACTS } from './facts.ts';
import { syntheticTree } from './synthetic.ts';

/** The synthetic tree over an image with a journal. */
export async function editedTree(
  image: Image,
  imagePath: string,
  { onBlocked, log }: { readonly onBlocked: () => void; readonly log: (message: string) => void },
): Promise<{ readonly filesystem: TreeFilesystem; close(): Promise<void> }> {
  const state = await StateDirectory.locate(diskMedium, imagePath);
  const edits = await Edits.recover(diskMedium, imagePath, state);
  const writable = new ByteRanges([{ offset: 0, length: image.size }]);
  await edits.attach(image, { identity: [], checksums: new Checksums([]), writable });
  let syncs = 0;
  const control: CommandContent = {
    kind: 'command',
    perform: async (command) => {
      if (command === 'discard') await edits.discard();
      else if (command === 'refuse') throw errno('EBUSY', 'refused');
      return `${JSON.stringify({ performed: command, syncs, dirtyBytes: edits.status.dirtyBytes })}\n`;
    },
    sync: async () => {
      syncs++;
    },
  };
  const gradient = state.gradient('weight', 0, FACTS.room.gradientBytes);
  const filesystem = new TreeFilesystem(syntheticTree(image, { onBlocked, gradient, control }), {
    readOnly: false,
    flush: () => edits.flush(),
    makeScratch: () => state.scratch(),
    log,
  });
  return {
    filesystem,
    close: async () => {
      await gradient.close();
      await edits.close();
    },
  };
}
