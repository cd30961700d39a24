import type { Inode } from '../inode.ts';

/** Inodes that have nodeids and no columns: what they are follows from their number among the reserved ones, from 0. */
export interface ReservedInodes {
  make(index: number, nodeid: number, mtimeMs: number): Inode;
  pathOf(index: number): string | undefined;
}

interface Block {
  readonly first: number;
  readonly count: number;
  readonly inodes: ReservedInodes;
}

/** The nodeids of a tree that were reserved, in blocks: they lie above all others. */
export class ReservedBlocks {
  readonly #blocks: Block[] = [];

  /** The first nodeid that was reserved. */
  get first(): number | undefined {
    return this.#blocks[0]?.first;
  }

  add(block: Block): void {
    this.#blocks.push(block);
  }

  has(nodeid: number): boolean {
    return this.#find(nodeid) !== undefined;
  }

  make(nodeid: number, mtimeMs: number): Inode | undefined {
    const block = this.#find(nodeid);
    return block?.inodes.make(nodeid - block.first, nodeid, mtimeMs);
  }

  pathOf(nodeid: number): string | undefined {
    const block = this.#find(nodeid);
    return block?.inodes.pathOf(nodeid - block.first);
  }

  #find(nodeid: number): Block | undefined {
    if (this.first === undefined || nodeid < this.first) return undefined;
    return this.#blocks.find(({ first, count }) => nodeid < first + count);
  }
}
