import type { FileInode, Inode } from '../inode.ts';
import { FewLines } from './few-lines.ts';
import { type OpenPolicy, openPolicy } from './open-policy.ts';
import { isScratch } from './scratch-files.ts';

export interface OpenNoticesOptions {
  readonly readOnly: boolean;
  readonly log: (message: string) => void;
  readonly pathOf: (inode: Inode) => string;
}

/** Says in the log what an errno or a mode does not: why a file cannot be written, and what a mode does not protect. */
export class OpenNotices {
  readonly #options: OpenNoticesOptions;
  readonly #unprotected: FewLines;
  readonly #unwritable: FewLines;

  constructor(options: OpenNoticesOptions) {
    this.#options = options;
    this.#unprotected = new FewLines(options.log);
    this.#unwritable = new FewLines(options.log);
  }

  /** How an OPEN is served. Throws what `openPolicy` throws. */
  policy(inode: FileInode, flags: number): OpenPolicy {
    const { readOnly, pathOf } = this.#options;
    try {
      return openPolicy(inode, flags, readOnly);
    } catch (refusal) {
      if (!readOnly && (inode.content.kind === 'extents' || inode.content.kind === 'rendered')) {
        this.#unwritable.say(
          () => `${pathOf(inode)}: cannot be written: its bytes have no place of their own in the file`,
        );
      }
      throw refusal;
    }
  }

  /**
   * The bytes of a tensor have several names, each with a mode of its own: a user who removes the right to read from one name is told about
   * the others.
   */
  tellWhatStaysReadable(inode: Inode, before: number, mode: number = before): void {
    if (isScratch(inode) || (before & ~mode & READABLE) === 0) return;
    this.#unprotected.say(
      () =>
        `${this.#options.pathOf(inode)}: mode ${(mode & PERMISSIONS).toString(8)} protects this name only, and /views, /export, /viz and ` +
        '/sys go on showing what it holds. To keep other users out, mount without allow_other',
    );
  }
}

/** Read permission for anybody. */
const READABLE = 0o444;
const PERMISSIONS = 0o777;
