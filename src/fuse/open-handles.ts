import { errno } from '../errors.ts';
import type { FileInode } from '../inode.ts';
import type { Appender } from '../storage/content.ts';
import type { CommandTranscript } from './command-transcript.ts';
import type { StagedReplacement } from './staged-replacement.ts';
import { type Claim, claimOpenFile, type Supplies } from './supplies.ts';

/** A document that was made at its open. */
export interface DocumentHandle {
  readonly kind: 'document';
  readonly bytes: Uint8Array;
  /** The user who opened it. */
  readonly uid: number;
}

/** A file that is open for writing. */
export interface WritingHandle {
  readonly kind: 'writing';
  readonly inode: FileInode;
  /** The flags of open(2). */
  readonly flags: number;
  /** The user who opened it. */
  readonly uid: number;
  /** Present after O_TRUNC or ftruncate(0). */
  stage: StagedReplacement | undefined;
  /** fsync was called before the replacement was carried out: the replacement must then be durable at once. */
  durable?: boolean;
  /** The file's last name was removed while it was open: a replacement takes no effect. */
  removed?: boolean;
}

/** /sys/control. */
export interface CommandHandle {
  readonly kind: 'command';
  readonly transcript: CommandTranscript;
}

/** The log, with the unfinished line of this descriptor. */
export interface AppendHandle {
  readonly kind: 'append';
  readonly appender: Appender;
}

export type OpenHandle = DocumentHandle | WritingHandle | CommandHandle | AppendHandle;

interface Kept {
  readonly open: OpenHandle;
  readonly claim: Claim;
}

/** What open files keep between requests. Handles are numbered from 1; 0 means that the inode alone is enough. */
export class OpenHandles {
  readonly #supplies: Pick<Supplies, 'openFiles' | 'openBytes'>;
  readonly #open = new Map<number, Kept>();
  #last = 0;

  constructor(supplies: Pick<Supplies, 'openFiles' | 'openBytes'>) {
    this.#supplies = supplies;
  }

  /** Reserves room for one more open file of a user, and `bytes` of memory, before anything is done for it. Throws ENFILE. */
  claim(uid: number, bytes = 0): Claim {
    return claimOpenFile(this.#supplies, uid, bytes);
  }

  /** `claim` is released when the handle is removed. */
  add(open: OpenHandle, claim: Claim): number {
    this.#open.set(++this.#last, { open, claim });
    return this.#last;
  }

  document(handle: number): DocumentHandle {
    return this.#of('document', handle);
  }

  command(handle: number): CommandHandle {
    return this.#of('command', handle);
  }

  append(handle: number): AppendHandle {
    return this.#of('append', handle);
  }

  writing(handle: number): WritingHandle | undefined {
    const open = this.#open.get(handle)?.open;
    return open?.kind === 'writing' ? open : undefined;
  }

  remove(handle: number): OpenHandle | undefined {
    const kept = this.#open.get(handle);
    this.#open.delete(handle);
    kept?.claim.giveBack();
    return kept?.open;
  }

  #of<K extends OpenHandle['kind']>(kind: K, handle: number): Extract<OpenHandle, { kind: K }> {
    const open = this.#open.get(handle)?.open;
    if (open?.kind !== kind) throw errno('EBADF', `handle ${handle} is not open`);
    return open as Extract<OpenHandle, { kind: K }>;
  }
}
