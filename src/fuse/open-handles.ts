import { errno } from '../errors.ts';
import type { Appender } from '../storage/content.ts';
import type { FileInode } from '../tree/inode.ts';
import type { CommandTranscript } from './command-transcript.ts';
import type { StagedReplacement } from './staged-replacement.ts';

/** A document that was made at its open. */
export interface DocumentHandle {
  readonly kind: 'document';
  readonly bytes: Uint8Array;
}

/** A file that is open for writing. */
export interface WritingHandle {
  readonly kind: 'writing';
  readonly inode: FileInode;
  /** open(2)'s. */
  readonly flags: number;
  /** Present from O_TRUNC or ftruncate(0) on. */
  stage: StagedReplacement | undefined;
  /** fsync was called while the replacement was not carried out: it is to be durable when it is. */
  durable?: boolean;
}

/** /sys/control. */
export interface CommandHandle {
  readonly kind: 'command';
  readonly transcript: CommandTranscript;
}

/** The log, by who adds to it. */
export interface AppendHandle {
  readonly kind: 'append';
  readonly appender: Appender;
}

export type OpenHandle = DocumentHandle | WritingHandle | CommandHandle | AppendHandle;

/** What open files keep between requests. Handles are numbered from 1: 0 says that the inode tells all that is needed. */
export class OpenHandles {
  readonly #open = new Map<number, OpenHandle>();
  #last = 0;

  add(handle: OpenHandle): number {
    this.#open.set(++this.#last, handle);
    return this.#last;
  }

  get(handle: number): OpenHandle | undefined {
    return this.#open.get(handle);
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
    const open = this.#open.get(handle);
    return open?.kind === 'writing' ? open : undefined;
  }

  remove(handle: number): OpenHandle | undefined {
    const open = this.#open.get(handle);
    this.#open.delete(handle);
    return open;
  }

  #of<K extends OpenHandle['kind']>(kind: K, handle: number): Extract<OpenHandle, { kind: K }> {
    const open = this.#open.get(handle);
    if (open?.kind !== kind) throw errno('EBADF', `handle ${handle} is not open`);
    return open as Extract<OpenHandle, { kind: K }>;
  }
}
