import type { FileInode } from '../inode.ts';
import type { Content } from '../storage/content.ts';

export interface FileDescription {
  readonly content: () => Content;
  readonly xattrs?: () => ReadonlyMap<string, string>;
  /** Permission bits; 0444 when absent. */
  readonly mode?: number;
  /** The size, if it is known beforehand; counted in statfs. */
  readonly size?: number;
  /** Making the content costs next to nothing: it may be asked what is known of the file. */
  readonly isCheap?: boolean;
}

/** A file whose content is made at its first use. */
export class DescribedFile implements FileInode {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mtimeMs: number;
  nlink = 0;
  readonly #description: FileDescription;
  #content: Content | undefined;

  constructor(nodeid: number, mtimeMs: number, description: FileDescription) {
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.#description = description;
  }

  get isCheap(): boolean {
    return this.#description.isCheap === true;
  }

  get mode(): number {
    return this.#description.mode ?? 0o444;
  }

  get content(): Content {
    this.#content ??= this.#description.content();
    return this.#content;
  }

  get xattrs(): ReadonlyMap<string, string> {
    return this.#description.xattrs?.() ?? NO_XATTRS;
  }
}

const NO_XATTRS: ReadonlyMap<string, string> = new Map();
