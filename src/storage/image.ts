/**
 * The present bytes of one checkpoint file: base ⊕ overlay. The base is never written through this object; dirty ranges live in the
 * journal, and the overlay says where.
 *
 * Updates run one at a time and in order. An update compares its bytes with the image and journals only what differs. It becomes visible to
 * every reader in one step when it is complete, and `onChange` runs before its caller is acknowledged. An image that was not made writable
 * refuses updates with EROFS.
 */
import { errno } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { Fingerprint } from './file-source.ts';
import { type DirtyRange, Overlay, type Piece } from './overlay.ts';
import type { WriteLane } from './write-lane.ts';

/** What an update may do. */
export interface ImageUpdate {
  /** The bytes as this update has made them so far. */
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

export interface UpdateOptions {
  /** After a crash either the whole update is there or none of it. */
  readonly atomic?: boolean;
}

/** What an update changed. */
export interface ImageChange {
  /** The changed ranges, ascending and exact, so that nothing else has to be invalidated. */
  readonly ranges: readonly DirtyRange[];
  /** Chunks of the overlay with new pieces, for the data plane. */
  readonly chunks: ReadonlySet<number>;
  /** The data plane made the change, and shows it already: through which inode, and when. */
  readonly native?: { readonly nodeid: number; readonly atMs: number };
}

/** Carries out updates: the journal's side of an image. */
export interface ImageEditor {
  update<T>(task: (update: ImageUpdate) => Promise<T>, options: UpdateOptions): Promise<T>;
  /** Takes up what the data plane has written. */
  catchUp?(): void;
}

/** The file under an image: a FileSource, or a replacement in a test. */
export interface ImageBase extends ByteSource {
  /** The descriptor, for the data plane to duplicate. */
  readonly fd: number | undefined;
  readonly fingerprint: Fingerprint;
  /** Updates the fingerprint after our own change of the file. */
  refresh(): Promise<void>;
  readNow(offset: number, length: number): Buffer;
  close(): Promise<void>;
}

export class Image implements ByteSource {
  readonly base: ImageBase;
  readonly #overlay = new Overlay();
  /** Where the data plane writes to the image by itself, if it does. */
  lane: WriteLane | undefined;
  readonly #listeners = new Set<(change: ImageChange) => void>();
  #editor: ImageEditor | undefined;

  constructor(base: ImageBase) {
    this.base = base;
  }

  get path(): string {
    return this.base.path;
  }

  get size(): number {
    return this.base.size;
  }

  /** With all writes that were acknowledged. Only the editor changes it, and calls `changed` afterwards. */
  get overlay(): Overlay {
    this.catchUp();
    return this.#overlay;
  }

  /** Takes up what the data plane has written. Everything that depends on the image's bytes does this first. */
  catchUp(): void {
    if (this.lane !== undefined) this.#editor?.catchUp?.();
  }

  /** Without an editor the image is read-only again. */
  makeWritable(editor: ImageEditor | undefined): void {
    this.#editor = editor;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const { overlay } = this;
    const dirty = overlay.empty ? NONE : overlay.within(offset, offset + length);
    const [first] = dirty;
    if (first === undefined) return this.base.read(offset, length);
    if (first.start === offset && first.end === offset + length) {
      return first.file.read(first.fileOffset, length);
    }
    return this.#assemble(offset, length, dirty);
  }

  /** Like `read`, synchronously. Only clean ranges have it, because dirty ranges may be slow. */
  readNow(offset: number, length: number): Buffer {
    if (this.overlay.touches(offset, offset + length)) {
      throw new Error(`bytes ${offset} to ${offset + length} are dirty: they cannot be read at once`);
    }
    return this.base.readNow(offset, length);
  }

  /**
   * Runs `task` after the updates before it. When the promise resolves, its writes are visible to every reader and survive the death of
   * this process. Throws EROFS, ENOSPC (the journal's limit or the disk), ESTALE (the base was replaced).
   */
  update<T>(task: (update: ImageUpdate) => Promise<T>, options: UpdateOptions = {}): Promise<T> {
    if (this.#editor === undefined) return Promise.reject(errno('EROFS', `${this.path}: is not writable`));
    return this.#editor.update(task, options);
  }

  /** Returns a function that removes the listener. */
  onChange(listener: (change: ImageChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Called by the editor to inform all listeners. */
  changed(change: ImageChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  close(): Promise<void> {
    return this.base.close();
  }

  async #assemble(offset: number, length: number, dirty: readonly Piece[]): Promise<Buffer> {
    const parts: Promise<Buffer>[] = [];
    let at = offset;
    for (const piece of dirty) {
      if (piece.start > at) parts.push(this.base.read(at, piece.start - at));
      parts.push(piece.file.read(piece.fileOffset, piece.end - piece.start));
      at = piece.end;
    }
    if (at < offset + length) parts.push(this.base.read(at, offset + length - at));
    return Buffer.concat(await Promise.all(parts), length);
  }
}

const NONE: readonly Piece[] = [];
