import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCheckpoint } from '../../../src/checkpoint/open.ts';
import type { DirectoryInode, Inode, InodeTree, KnownInode } from '../../../src/inode.ts';
import type { Checksums } from '../../../src/storage/checksums.ts';
import type { CommandContent } from '../../../src/storage/content.ts';
import { RenderedPages } from '../../../src/storage/rendered-pages.ts';
import { Log } from '../../../src/telemetry/log.ts';
import { buildTree, type TreeEditing } from '../../../src/tree/build-tree.ts';
import { readFixtures } from '../../support/fixtures.ts';

const EDITING: TreeEditing = {
  checksums: {} as Checksums,
  control: { kind: 'command' } as CommandContent,
  gradientSizes: new Map(),
  gradient: () => assert.fail('nobody asks for a gradient'),
};

/** Runs `check` on the tree of every fixture, read-only and for writing. */
async function everyTree(check: (tree: InodeTree, name: string) => void): Promise<void> {
  for (const { path, name } of readFixtures()) {
    const checkpoint = await openCheckpoint(path);
    try {
      for (const editing of [undefined, EDITING]) {
        const { tree } = buildTree(checkpoint, {
          cache: new RenderedPages(1 << 20),
          version: '1.2.3',
          log: new Log({ level: 'error' }),
          status: async () => ({}),
          metrics: () => '',
          editing,
        });
        check(tree, `${name}${editing === undefined ? '' : ', for writing'}`);
      }
    } finally {
      await checkpoint.close();
    }
  }
}

function views(tree: InodeTree): DirectoryInode[] {
  const room = tree.root.children.get('views') as DirectoryInode;
  return [...room.children.values()] as DirectoryInode[];
}

/** What a folder tells, and which folders it tells of. */
class Told {
  readonly inodes = new Map<number, KnownInode>();
  readonly folders = new Map<number, [name: string, nodeid: number][]>();
  #entries: [name: string, nodeid: number][] = [];

  inode(known: KnownInode): void {
    this.inodes.set(known.nodeid, { ...known });
  }

  folder(nodeid: number, _count: number, complete: boolean): void {
    assert.ok(complete);
    assert.ok(!this.folders.has(nodeid), 'a folder is told once');
    this.#entries = [];
    this.folders.set(nodeid, this.#entries);
  }

  entry(name: string, nodeid: number): void {
    assert.ok(this.inodes.has(nodeid), 'an inode is told before its name');
    this.#entries.push([name, nodeid]);
  }

  /** Tells of a folder and of everything below it. */
  all(folder: DirectoryInode): this {
    folder.tellAhead?.(this);
    assert.ok(this.folders.has(folder.nodeid));
    for (const child of folder.children.values()) if (child.kind === 'directory') this.all(child);
    return this;
  }
}

function sizeOf(inode: Inode): number {
  if (inode.kind === 'directory') return 0;
  const { content } = inode;
  if (content.kind === 'snapshot') return content.knownSize?.() ?? 0;
  return content.kind === 'extents' || content.kind === 'rendered' ? content.size : Number.NaN;
}

test('what a view tells ahead is what its objects say, in every fixture', async () => {
  let checked = 0;
  await everyTree((tree, name) => {
    for (const view of views(tree)) {
      const told = new Told().all(view);
      for (const [nodeid, entries] of told.folders) {
        const folder = tree.get(nodeid) as DirectoryInode;
        const children = [...folder.children].map(([entry, child]) => [entry, child.nodeid]);
        assert.deepEqual(entries, children, `${name}: ${tree.pathOf(nodeid)}`);
      }
      for (const [nodeid, known] of told.inodes) {
        const inode = tree.get(nodeid) as Inode;
        const isFile = inode.kind === 'file';
        const facts = {
          isDirectory: !isFile,
          mode: inode.mode,
          nlink: isFile ? inode.nlink : 1,
          size: sizeOf(inode),
          parent: isFile ? 0 : inode.parent,
          asks: isFile && inode.content.kind === 'snapshot',
          hasXattrs: inode.xattrs !== undefined,
        };
        assert.deepEqual({ ...known, ...facts }, known, `${name}: ${tree.pathOf(nodeid)}`);
        checked++;
      }
    }
  });
  assert.ok(checked > 1000, `${checked} inodes`);
});

test('an inode of a view has the path that leads to it', async () => {
  await everyTree((tree, name) => {
    const search = (folder: DirectoryInode, path: string) => {
      assert.equal(tree.pathOf(folder.nodeid), path, name);
      for (const [entry, child] of folder.children) {
        if (child.kind === 'directory') search(child, `${path}/${entry}`);
        else if (child.nlink === 1) assert.equal(tree.pathOf(child.nodeid), `${path}/${entry}`, name);
      }
    };
    for (const [at, view] of views(tree).entries())
      search(view, `/views/${['npy', 'txt', 'csv', 'json'][at]}`);
  });
});

test('a view that is told of whole has made no object of a tensor that is one run of the file', async () => {
  let plain = 0;
  await everyTree((tree, name) => {
    const stored = new Map<string, boolean>();
    for (
      const step = tree.known(({ image, nodeid }) =>
        stored.set(tree.pathOf(nodeid) ?? '', image !== undefined),
      );
      ;
    )
      if (step.next().done === true) break;
    const npy = views(tree)[0] as DirectoryInode;
    const told = new Told();
    npy.tellAhead?.(told);
    for (const entries of told.folders.values()) {
      for (const [entry, nodeid] of entries) {
        const path = tree.pathOf(nodeid)?.replace('/views/npy', '/model').replace(/npy$/, 'bin') ?? '';
        if (stored.get(path) !== true) continue;
        assert.equal(tree.made(nodeid), undefined, `${name}: ${entry}`);
        plain++;
      }
    }
  });
  assert.ok(plain > 100, `${plain} tensors`);
});
