import type { DirectoryInode, FileInode } from '../../../src/inode.ts';
import type { Content, LiveContent } from '../../../src/storage/content.ts';
import { InodeTable } from '../../../src/tree/inode-table.ts';

export interface SampleTree {
  readonly tree: InodeTable;
  readonly nodeid: Readonly<Record<'weight' | 'gather' | 'status' | 'log' | 'model', number>>;
  readonly log: LiveContent & { text: string };
  /** Settles the reads of `gather` and the making of `status` when they were told to wait. */
  readonly gate: { wait: boolean; readonly waiting: (() => void)[] };
}

export const WEIGHT = Buffer.from(Array.from({ length: 300 }, (_, index) => index % 251));
export const MTIME_MS = 1_700_000_000_123;

/** /model/weight.bin (extents), /model/gather.bin (rendered), /status (snapshot), /log (live). */
export function sampleTree(): SampleTree {
  const tree = new InodeTable(MTIME_MS);
  const gate = { wait: false, waiting: [] as (() => void)[] };
  const passGate = () =>
    gate.wait ? new Promise<void>((resolve) => gate.waiting.push(resolve)) : Promise.resolve();

  const extents: Content = {
    kind: 'extents',
    size: WEIGHT.length,
    extents: [
      { kind: 'inline', bytes: WEIGHT.subarray(0, 100) },
      { kind: 'inline', bytes: WEIGHT.subarray(100) },
    ],
  };
  const gather: Content = {
    kind: 'rendered',
    size: WEIGHT.length,
    read: async (offset, length) => {
      await passGate();
      return WEIGHT.subarray(offset, offset + length);
    },
  };
  let made = 0;
  const status: Content = {
    kind: 'snapshot',
    make: async () => {
      await passGate();
      made++;
      return Buffer.from(`made ${made} times${'!'.repeat(made)}\n`);
    },
  };
  const log = {
    kind: 'live' as const,
    text: 'first line\n',
    size(): number {
      return this.text.length;
    },
    changedMs(): number {
      return this.text.length;
    },
    async read(offset: number, length: number): Promise<Uint8Array> {
      return Buffer.from(this.text.slice(offset, offset + length));
    },
    appender() {
      return {
        append: (bytes: Uint8Array) => {
          this.text += Buffer.from(bytes).toString();
        },
        end: () => {
          this.text += '(closed)\n';
        },
      };
    },
  };

  const model: DirectoryInode = tree.folder(tree.root, 'model');
  const weight = tree.insert<FileInode>(
    (nodeid, mtimeMs) => ({
      kind: 'file',
      nodeid,
      mtimeMs,
      mode: 0o444,
      nlink: 0,
      content: extents,
      xattrs: new Map([['user.mlfs.dtype', 'uint8']]),
    }),
    WEIGHT.length,
  );
  tree.link(model, 'weight.bin', weight);
  tree.link(model, 'tied.bin', weight);
  return {
    tree,
    gate,
    log,
    nodeid: {
      model: model.nodeid,
      weight: weight.nodeid,
      gather: tree.add(model, 'gather.bin', { content: () => gather }).nodeid,
      status: tree.add(tree.root, 'status', { content: () => status }).nodeid,
      log: tree.add(tree.root, 'log', { content: () => log, mode: 0o644 }).nodeid,
    },
  };
}
