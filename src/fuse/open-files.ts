import { errno } from '../errors.ts';
import type { FileInode, Inode } from '../inode.ts';
import type { Content, LiveContent, SnapshotContent } from '../storage/content.ts';
import { readExtents } from '../storage/read-extents.ts';
import type { AttributeChanges } from './attribute-changes.ts';
import type { Coherence } from './coherence.ts';
import { CommandTranscript, MOST_TRANSCRIPT_BYTES } from './command-transcript.ts';
import type { MaybePromise, OpenReply, RequestContext, WritesInPlace } from './filesystem.ts';
import { interruptible } from './interruptible.ts';
import type { OpenHandles } from './open-handles.ts';
import { O_APPEND, O_DSYNC, type OpenPolicy } from './open-policy.ts';
import { writerOf } from './replacement.ts';
import type { Snapshots } from './snapshots.ts';
import type { Writing } from './writing.ts';

export interface OpenFilesOptions {
  readonly handles: OpenHandles;
  readonly snapshots: Snapshots;
  readonly writing: Writing;
  readonly coherence: Coherence;
  readonly changes: AttributeChanges;
  /** The data plane writes nothing through this handle any more. */
  readonly revokeWrites: (handle: number) => void;
}

/** Modes of lseek(2) that a filesystem answers. */
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** Maximum size of an unfinished log line that is kept. */
const LINE_BYTES = 8 * 1024;

/** No handle: the inode alone is enough. */
export const NO_HANDLE = 0;

const NO_BYTES = new Uint8Array(0);

/** Operations on open files, by the kind of their content and the state of their handle. */
export class OpenFiles {
  readonly #handles: OpenHandles;
  readonly #snapshots: Snapshots;
  readonly #writing: Writing;
  readonly #coherence: Coherence;
  readonly #changes: AttributeChanges;
  readonly #revokeWrites: (handle: number) => void;
  /** Transcripts of the open descriptors of command files, by inode. */
  readonly #transcripts = new Map<FileInode, Set<CommandTranscript>>();
  readonly #counters = { opens_total: 0, read_bytes_total: 0, write_bytes_total: 0, append_bytes_total: 0 };

  constructor(options: OpenFilesOptions) {
    this.#handles = options.handles;
    this.#snapshots = options.snapshots;
    this.#writing = options.writing;
    this.#coherence = options.coherence;
    this.#changes = options.changes;
    this.#revokeWrites = options.revokeWrites;
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters };
  }

  /** The size of the longest transcript of a command file. */
  commandSize(inode: FileInode): number {
    let size = 0;
    for (const transcript of this.#transcripts.get(inode) ?? []) size = Math.max(size, transcript.size);
    return size;
  }

  open(
    inode: FileInode,
    flags: number,
    policy: OpenPolicy,
    context: RequestContext,
  ): MaybePromise<OpenReply> {
    this.#counters.opens_total++;
    const { caching } = policy;
    const { content } = inode;
    switch (policy.serve) {
      case 'append':
        return this.#openAppending(content as LiveContent, caching, context.uid);
      case 'read':
        return {
          handle: NO_HANDLE,
          caching,
          ...(content.kind === 'extents' ? { extents: content.extents } : {}),
        };
      case 'document':
        return this.#openDocument(inode.nodeid, content as SnapshotContent, caching, context);
      case 'command': {
        const claim = this.#handles.claim(context.uid, MOST_TRANSCRIPT_BYTES);
        const transcript = new CommandTranscript();
        const open = this.#transcripts.get(inode) ?? new Set();
        this.#transcripts.set(inode, open.add(transcript));
        return { handle: this.#handles.add({ kind: 'command', transcript }, claim), caching };
      }
      default:
        return this.#openWriting(inode, flags, policy, context);
    }
  }

  read(
    { content }: FileInode,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): MaybePromise<Uint8Array> {
    if (content.kind === 'command') {
      return this.#counted(this.#handles.command(handle).transcript.read(offset, length));
    }
    const stage = this.#handles.writing(handle)?.stage;
    if (stage !== undefined) return stage.read(offset, length).then((bytes) => this.#counted(bytes));
    if (content.kind === 'snapshot') {
      return this.#counted(this.#handles.document(handle).bytes.subarray(offset, offset + length));
    }
    const available = Math.min(length, sizeOf(content) - offset);
    if (available <= 0) return NO_BYTES;
    const bytes =
      content.kind === 'extents'
        ? readExtents(content.extents, offset, available)
        : content.read(offset, available);
    return interruptible(bytes, context.signal).then((read) => this.#counted(read));
  }

  /** The data plane wrote to an open file. */
  wroteNatively(bytes: number): void {
    this.#counters.write_bytes_total += bytes;
  }

  async write(inode: FileInode, handle: number, offset: number, bytes: Uint8Array): Promise<number> {
    const { content } = inode;
    if (content.kind === 'live') return this.#append(handle, bytes);
    if (content.kind === 'command') {
      await this.#handles.command(handle).transcript.say(content, offset, bytes);
      this.#changes.touch(inode);
      await this.#coherence.settled();
      return bytes.byteLength;
    }
    const count = await this.#writing.write(inode, this.#handles.writing(handle), offset, bytes);
    this.#counters.write_bytes_total += count;
    return count;
  }

  flush(handle: number): MaybePromise<void> {
    const writing = this.#handles.writing(handle);
    return writing === undefined ? undefined : this.#writing.close(writing);
  }

  async release(nodeid: number, handle: number): Promise<void> {
    const open = this.#handles.remove(handle);
    if (open?.kind === 'document') this.#snapshots.released(nodeid, open);
    if (open?.kind === 'append') await open.appender.end();
    if (open?.kind === 'command') {
      for (const transcripts of this.#transcripts.values()) transcripts.delete(open.transcript);
    }
    if (open?.kind === 'writing') await this.#writing.release(open);
  }

  sync(inode: FileInode, handle: number): Promise<void> {
    if (inode.content.kind === 'command') return inode.content.sync();
    return this.#writing.sync(inode, this.#handles.writing(handle));
  }

  /** Whether the handle itself permits a change of size. */
  isWriting(handle: number): boolean {
    return this.#handles.writing(handle) !== undefined;
  }

  resize(inode: FileInode, handle: number, size: number): Promise<void> {
    // It may be written to a staged copy from now on.
    this.#revokeWrites(handle);
    return this.#writing.resize(inode, this.#handles.writing(handle), size);
  }

  allocate(
    inode: FileInode,
    handle: number,
    range: { readonly offset: number; readonly length: number; readonly mode: number },
  ): Promise<void> {
    return this.#writing.allocate(inode, this.#handles.writing(handle), range);
  }

  /** Every byte is data: a hole in the checkpoint file is zeros that somebody saved. */
  lseek({ content }: FileInode, handle: number, offset: number, whence: number): number {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw errno('EINVAL', `lseek whence ${whence}`);
    const size = this.#sizeFor(content, handle);
    if (offset >= size) throw errno('ENXIO');
    return whence === SEEK_DATA ? offset : size;
  }

  #sizeFor(content: Content, handle: number): number {
    if (content.kind === 'command') return this.#handles.command(handle).transcript.size;
    const stage = this.#handles.writing(handle)?.stage;
    if (stage !== undefined) return stage.size();
    if (content.kind === 'snapshot') return this.#handles.document(handle).bytes.byteLength;
    return sizeOf(content);
  }

  #openDocument(
    nodeid: number,
    content: SnapshotContent,
    caching: OpenReply['caching'],
    context: RequestContext,
  ): Promise<OpenReply> {
    const opened = this.#snapshots.open(nodeid, content, context);
    return interruptible(opened, context.signal).then(
      (handle) => ({ handle, caching }),
      (cause) => {
        // An interrupted open still makes this document, and nobody will release it.
        opened.then((handle) => this.release(nodeid, handle)).catch(() => undefined);
        throw cause;
      },
    );
  }

  #openAppending(content: LiveContent, caching: OpenReply['caching'], uid: number): OpenReply {
    if (content.appender === undefined) throw errno('EPERM');
    const claim = this.#handles.claim(uid, LINE_BYTES);
    return { handle: this.#handles.add({ kind: 'append', appender: content.appender() }, claim), caching };
  }

  async #openWriting(
    inode: FileInode,
    flags: number,
    policy: OpenPolicy,
    context: RequestContext,
  ): Promise<OpenReply> {
    const claim = this.#handles.claim(context.uid);
    try {
      const handle = await this.#writing.open(inode, flags, policy, context);
      const writes = handle.stage === undefined ? this.#writesInPlace(inode, flags) : undefined;
      return {
        handle: this.#handles.add(handle, claim),
        caching: policy.caching,
        ...(writes === undefined ? {} : { writes }),
      };
    } catch (cause) {
      claim.giveBack();
      throw cause;
    }
  }

  /** Appended bytes need the size, and synced ones an answer that waits: both come through JavaScript. */
  #writesInPlace(inode: FileInode, flags: number): WritesInPlace | undefined {
    const { content } = inode;
    if ((flags & (O_APPEND | O_DSYNC)) !== 0 || writerOf(inode) === undefined) return undefined;
    const [extent, ...others] = content.kind === 'extents' ? content.extents : [];
    if (extent?.kind !== 'image' || others.length > 0) return undefined;
    return this.#coherence.writesInPlace(inode.nodeid, extent);
  }

  /** The offset is ignored: two writers of one log must not overwrite each other. */
  async #append(handle: number, bytes: Uint8Array): Promise<number> {
    await this.#handles.append(handle).appender.append(bytes);
    this.#counters.append_bytes_total += bytes.byteLength;
    return bytes.byteLength;
  }

  #counted(bytes: Uint8Array): Uint8Array {
    this.#counters.read_bytes_total += bytes.byteLength;
    return bytes;
  }
}

function sizeOf(content: Exclude<Content, { kind: 'snapshot' | 'command' }>): number {
  return typeof content.size === 'function' ? content.size() : content.size;
}

/** Whether an inode is a document that must be made before its size is known. */
export function isDocument(inode: Inode): inode is FileInode & { readonly content: SnapshotContent } {
  return inode.kind === 'file' && inode.content.kind === 'snapshot';
}
