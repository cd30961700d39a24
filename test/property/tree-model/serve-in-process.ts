import type { Filesystem } from '../../../src/fuse/filesystem.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import type { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree } from '../../../src/tree/build-tree.ts';

/** The tree of a checkpoint as a mount has it, without a mount. */
export function serveInProcess({ checkpoint, edits, editing, state }: WritableCheckpoint): Filesystem {
  const perform = async (command: string) => {
    if (command === 'commit') await edits.commit();
    else if (command === 'discard') await edits.discard();
    else if (command === 'flush') await edits.flush();
    return '{}\n';
  };
  const { tree } = buildTree(checkpoint, {
    cache: new RenderedPages(1 << 20),
    version: 'test',
    log: new Log({ level: 'error' }),
    status: () => Promise.resolve({}),
    metrics: () => '',
    editing: { ...editing, control: { kind: 'command', perform, sync: () => edits.flush() } },
  });
  return new TreeFilesystem(tree, {
    readOnly: false,
    flush: () => edits.flush(),
    makeScratch: () => state.scratch(),
  });
}
