/**
 * The bytes of one checkpoint file as they are now: base ⊕ overlay. The base is never written through this object; dirty ranges
 * live in the journal, and the overlay says where.
 *
 * Updates happen one at a time and in order. Within one, bytes are compared with what the image holds and only what differs is
 * journalled. An update is visible to every reader at once when it is whole, and `onChange` is told before it is
 * acknowledged to whoever asked for it. An image that nobody made writable refuses updates with EROFS.
 */
import { errno } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { Fingerprint } from './file-source.ts';
import { type DirtyRange, Overlay, type Piece } from './overlay.ts';

/** What an update may do. */
export interface ImageUpdate {
  /** The bytes as this update has made them so far. */
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

export interface UpdateOptions {
  /** After a crash either the whole update is there or nothing of it. */
  readonly atomic?: boolean;
}

/** What an update changed. */
export interface ImageChange {
  /** Ascending; exact, so that nothing else needs to be invalidated. */
  readonly ranges: readonly DirtyRange[];
  /** Chunks of the overlay that have other pieces now, for the data plane. */
  readonly chunks: ReadonlySet<number>;
}

/** Carries out updates: the journal's side of an image. */
export interface ImageEditor {
  update<T>(task: (update: ImageUpdate) => Promise<T>, options: UpdateOptions): Promise<T>;
}

/** The file under an image: a FileSource, or what a test puts in its place. */
export interface ImageBase extends ByteSource {
  /** For the data plane to duplicate. */
  readonly fd: number | undefined;
  readonly fingerprint: Fingerprint;
  /** Takes the fingerprint again: the file was changed by us. */
  refresh(): Promise<void>;
  readNow(offset: number, length: number): Buffer;
  close(): Promise<void>;
}

export class Image implements ByteSource {
  readonly base: ImageBase;
  /** Changed by the editor alone, which calls `changed` afterwards. */
  readonly overlay = new Overlay();
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

  /** Without an editor the image is read-only again. */
  makeWritable(editor: ImageEditor | undefined): void {
    this.#editor = editor;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const dirty = this.overlay.empty ? NONE : this.overlay.within(offset, offset + length);
    const [first] = dirty;
    if (first === undefined) return this.base.read(offset, length);
    if (first.start === offset && first.end === offset + length) {
      return first.file.read(first.fileOffset, length);
    }
    return this.#assemble(offset, length, dirty);
  }

  /** As `read`, blocking; dirty ranges are not quick, so only clean ones have it. */
  readNow(offset: number, length: number): Buffer {
    if (this.overlay.touches(offset, offset + length)) {
      throw new Error(`bytes ${offset} to ${offset + length} are dirty: they cannot be read at once`);
    }
    return this.base.readNow(offset, length);
  }

  /**
   * Runs `task` after the updates before it; what it wrote is there for everybody when the promise resolves, and survives the
   * death of this process. Throws EROFS, ENOSPC (the journal's limit or the disk), ESTALE (the base was replaced).
   */
  update<T>(task: (update: ImageUpdate) => Promise<T>, options: UpdateOptions = {}): Promise<T> {
    if (this.#editor === undefined) return Promise.reject(errno('EROFS', `${this.path}: is not writable`));
    return this.#editor.update(task, options);
  }

  /** Returns the function that ends the listening. */
  onChange(listener: (change: ImageChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For the editor: tells everybody who listens. */
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
