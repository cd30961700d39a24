/**
 * Everything that changes bytes of files. A file of the checkpoint has a fixed size: it is written in place, or replaced as a whole by a
 * staged copy. Files of the state directory are ordinary files.
 *
 * Invariants:
 * - Nothing is written beyond the end of a file of fixed size, not even the part of a write that would fit.
 * - A replacement takes effect when a close finds it complete; until then, and if it never is, everybody sees the old bytes.
 * - A replacement of a file whose last name was removed while it was being written never takes effect.
 * - A write to a handle that was opened with O_SYNC or O_DSYNC is answered when it is durable.
 */
import { errno, type MlfsError, messageOf } from '../errors.ts';
import type { FileInode } from '../inode.ts';
import type { SnapshotContent, StoredContent } from '../storage/content.ts';
import type { AttributeChanges } from './attribute-changes.ts';
import type { Coherence } from './coherence.ts';
import type { RequestContext } from './filesystem.ts';
import type { WritingHandle } from './open-handles.ts';
import { O_APPEND, O_DSYNC, type OpenPolicy } from './open-policy.ts';
import { replaceContent, writerOf } from './replacement.ts';
import { type ScratchContent, StagedReplacement } from './staged-replacement.ts';

/** fallocate(2)'s FALLOC_FL_KEEP_SIZE. */
const KEEP_SIZE = 1;

export interface WritingOptions {
  readonly coherence: Coherence;
  readonly attributes: AttributeChanges;
  /** Makes a nameless file on a user's account. */
  readonly makeScratch: (uid: number) => ScratchContent;
  /** The present bytes of a document. */
  readonly document: (
    inode: FileInode,
    content: SnapshotContent,
    context: RequestContext,
  ) => Promise<Uint8Array>;
  /** Makes everything that was written to images durable. */
  readonly flush: () => Promise<void>;
  readonly log: (message: string) => void;
  /** The name of a file in messages. */
  readonly pathOf: (inode: FileInode) => string;
}

export class Writing {
  readonly #options: WritingOptions;
  readonly #open = new Map<FileInode, Set<WritingHandle>>();

  constructor(options: WritingOptions) {
    this.#options = options;
  }

  /** What has to be kept for an open file. */
  async open(
    inode: FileInode,
    flags: number,
    { serve }: OpenPolicy,
    context: RequestContext,
  ): Promise<WritingHandle> {
    const { content } = inode;
    const { uid } = context;
    if (serve === 'cut' && content.kind === 'stored') await this.#cut(inode, content, 0);
    if (serve !== 'replace' && serve !== 'edit') {
      return this.#opened({ kind: 'writing', inode, flags, uid, stage: undefined });
    }
    const scratch = this.#options.makeScratch(uid);
    try {
      if (serve === 'edit' && content.kind === 'snapshot')
        await fill(scratch, await this.#options.document(inode, content, context));
    } catch (cause) {
      await scratch.close();
      throw cause;
    }
    const stage = new StagedReplacement(inode, scratch, false);
    return this.#opened({ kind: 'writing', inode, flags, uid, stage });
  }

  #opened(handle: WritingHandle): WritingHandle {
    const open = this.#open.get(handle.inode) ?? new Set();
    this.#open.set(handle.inode, open.add(handle));
    return handle;
  }

  /** The file's last name is removed: who has it open to replace it replaces nothing any more. */
  removed(inode: FileInode): void {
    for (const handle of this.#open.get(inode) ?? []) handle.removed = true;
  }

  /** Returns the number of bytes written, which is all of them. Throws EFBIG, EPERM, ENOSPC. */
  async write(
    inode: FileInode,
    handle: WritingHandle | undefined,
    offset: number,
    bytes: Uint8Array,
  ): Promise<number> {
    const stage = handle?.stage;
    const appends = ((handle?.flags ?? 0) & O_APPEND) !== 0;
    if (stage !== undefined) {
      if (stage.untouched) await this.#options.coherence.keepEnd(inode);
      await stage.write(appends ? stage.size() : offset, bytes);
      return bytes.byteLength;
    }
    const { content } = inode;
    if (content.kind === 'stored')
      await this.#writeStored(inode, content, appends ? content.size() : offset, bytes);
    else await this.#writeInPlace(inode, offset, bytes);
    if (handle !== undefined && (handle.flags & O_DSYNC) !== 0) await this.sync(inode, handle);
    return bytes.byteLength;
  }

  /** A descriptor of the handle is closed. Throws EINVAL if the staged bytes cannot replace the file. */
  async close(handle: WritingHandle): Promise<void> {
    const { inode, stage, removed } = handle;
    if (stage === undefined || !stage.unsettled) return;
    // The kernel's pages have what was written.
    if (removed) return this.#options.coherence.drop(inode);
    try {
      await replaceContent(inode, stage.staged, this.#options.coherence);
    } catch (refusal) {
      if (inode.replace !== undefined) this.#refused(inode, refusal);
      await this.#options.coherence.drop(inode);
      throw refusal;
    }
    stage.settled();
    if (inode.content.kind === 'stored') this.#options.attributes.touch(inode);
    if (handle.durable || (handle.flags & O_DSYNC) !== 0) await this.sync(inode, handle);
  }

  /** The last descriptor of the handle is closed. */
  async release(handle: WritingHandle): Promise<void> {
    const { inode, stage } = handle;
    const open = this.#open.get(inode);
    open?.delete(handle);
    if (open?.size === 0) this.#open.delete(inode);
    if (stage === undefined) return;
    // What became of a removed file is said when its name is there again.
    if (handle.removed !== true) this.#sayUnreplaced(inode, stage);
    await stage.close();
    // The kernel's pages of the file contained bytes of the copy and not of the file.
    if (stage.unsettled) await this.#options.coherence.drop(inode);
  }

  /** Throws EFBIG for a size beyond a fixed size, and EPERM for any other size than the file's own. */
  async resize(inode: FileInode, handle: WritingHandle | undefined, size: number): Promise<void> {
    const { content } = inode;
    if (handle?.stage !== undefined) return handle.stage.truncate(size);
    switch (content.kind) {
      case 'command':
        return;
      case 'stored':
        return this.#cut(inode, content, size);
      case 'live':
      case 'snapshot':
        throw errno('EPERM');
      default:
        if (writerOf(inode) === undefined && inode.replace === undefined) throw errno('EPERM');
        if (size === content.size) return;
        if (size > content.size) throw tooLarge(size, content.size);
        if (size > 0 || handle === undefined) throw errno('EPERM', 'the size of a tensor is fixed');
        handle.stage = new StagedReplacement(inode, this.#options.makeScratch(handle.uid), true);
    }
  }

  /** Reserves room for a range. Throws EFBIG, and EOPNOTSUPP for modes that would remove bytes. */
  async allocate(
    inode: FileInode,
    handle: WritingHandle | undefined,
    { offset, length, mode }: { readonly offset: number; readonly length: number; readonly mode: number },
  ): Promise<void> {
    if ((mode & ~KEEP_SIZE) !== 0) throw errno('EOPNOTSUPP');
    const { content } = inode;
    const end = offset + length;
    const grows = (mode & KEEP_SIZE) === 0;
    if (handle?.stage !== undefined) {
      if (grows && end > handle.stage.size()) await handle.stage.truncate(end);
    } else if (content.kind === 'stored') {
      if (end > content.maxSize) throw tooLarge(end, content.maxSize);
      if (grows && end > content.size()) await this.#cut(inode, content, end);
    } else if (content.kind === 'extents' || content.kind === 'rendered') {
      if (end > content.size) throw tooLarge(end, content.size);
    } else {
      throw errno('EOPNOTSUPP');
    }
  }

  /** When it resolves, what was written to the file is durable; staged bytes become durable when they replace the file. */
  async sync(inode: FileInode, handle: WritingHandle | undefined): Promise<void> {
    const { content } = inode;
    if (handle?.stage?.unsettled) handle.durable = true;
    if (content.kind === 'stored') await content.sync();
    else await this.#options.flush();
  }

  #sayUnreplaced(inode: FileInode, stage: StagedReplacement): void {
    const { log, pathOf } = this.#options;
    if (stage.untouched && !stage.wasFilled)
      log(`${pathOf(inode)}: opened to be replaced, but nothing was written; it is as it was`);
    else if (stage.unsettled && inode.replace === undefined)
      log(`${pathOf(inode)}: not replaced: ${stage.size()} bytes were written${expected(inode)}`);
  }

  /** The reason, and its place in the text. */
  #refused(inode: FileInode, refusal: unknown): void {
    const reason = messageOf(refusal);
    this.#options.log(`${this.#options.pathOf(inode)}: not replaced: ${reason}`);
  }

  async #writeStored(
    inode: FileInode,
    content: StoredContent,
    offset: number,
    bytes: Uint8Array,
  ): Promise<void> {
    const end = offset + bytes.byteLength;
    if (end > content.maxSize) throw tooLarge(end, content.maxSize);
    await content.write(offset, bytes);
    this.#options.attributes.touch(inode);
  }

  async #writeInPlace(inode: FileInode, offset: number, bytes: Uint8Array): Promise<void> {
    const { content } = inode;
    const writer = writerOf(inode);
    if (writer === undefined || !(content.kind === 'extents' || content.kind === 'rendered'))
      throw errno('EPERM');
    const end = offset + bytes.byteLength;
    if (end > content.size) throw tooLarge(end, content.size);
    if (bytes.byteLength === 0) return;
    await this.#options.coherence.write(inode, writer.image, (update) => writer.write(update, offset, bytes));
  }

  async #cut(inode: FileInode, content: StoredContent, size: number): Promise<void> {
    if (size > content.maxSize) throw tooLarge(size, content.maxSize);
    if (size === content.size()) return;
    await content.truncate(size);
    this.#options.attributes.touch(inode);
  }
}

/** Copies a document into an empty file. */
async function fill(scratch: ScratchContent, document: Uint8Array): Promise<void> {
  if (document.byteLength > 0) await scratch.write(0, document);
}

function tooLarge(end: number, size: number): MlfsError {
  return errno('EFBIG', `byte ${end} lies beyond the ${size} that the file may have`);
}

function expected({ content }: FileInode): string {
  if (content.kind !== 'extents' && content.kind !== 'rendered') return '';
  return `, neither the ${content.size} of the file nor one number`;
}
