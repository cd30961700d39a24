import type { Extent } from './extent.ts';
import type { Image, ImageUpdate } from './image.ts';

/**
 * The contents of a mounted file. The data plane answers extents where there is one. Everything else is answered by a function here, and
 * its pages live in the rendered pages if it says so.
 */
export type Content =
  | ExtentContent
  | RenderedContent
  | SnapshotContent
  | LiveContent
  | StoredContent
  | CommandContent;

/**
 * Finds size and extents of a content for which that takes long (a header of 100,000 names). getattr and open wait for `make`, which works
 * in slices of the event loop; they use neither before `done` is true.
 */
export interface Layout {
  readonly done: boolean;
  make(): Promise<void>;
}

/** Bytes that exist already: the ordered extents, whose lengths add up to `size`. */
export interface ExtentContent {
  readonly kind: 'extents';
  readonly size: number;
  readonly extents: readonly Extent[];
  /** Absent where size and extents are known at once. */
  readonly layout?: Layout;
  readonly writer?: ContentWriter;
}

/** Computed bytes of a fixed size: gathers of strided tensors, inflated entries. */
export interface RenderedContent {
  readonly kind: 'rendered';
  readonly size: number;
  /** Absent where the size is known at once. */
  readonly layout?: Layout;
  /** Returns exactly the bytes of [offset, offset+length), cut at `size`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The part of an image that the bytes are computed from; absent when it can never change. */
  readonly origin?: ImageRange;
  /** Drops every computed page because `origin` changed. Called before the change is acknowledged. */
  invalidate?(): void;
  readonly writer?: ContentWriter;
}

export interface ImageRange {
  readonly image: Image;
  readonly offset: number;
  readonly length: number;
}

/** Present on writable content of a fixed size, wherever its bytes are stored. */
export interface ContentWriter {
  readonly image: Image;
  /** Writes `bytes` at `offset` of the content, as part of an update of the image. The range lies inside the content. */
  write(update: ImageUpdate, offset: number, bytes: Uint8Array): Promise<void>;
}

/** Bytes whose size is known before they are read. */
export type FixedContent = ExtentContent | RenderedContent;

/** A document that is made at each open: status, metrics, a tensor as text. */
export interface SnapshotContent {
  readonly kind: 'snapshot';
  make(signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * The content that the document is made from, if any: while its bytes stay the same, the document, its size and its mtime do, too.
   * Without a source the document shows the present state.
   */
  readonly source?: FixedContent;
  /** For a document with a source: its size, if it has been made and is still right. */
  knownSize?(): number | undefined;
  /** For a document without a source: when its text last changed. If absent, that is whenever the document is made. */
  changedMs?(): number;
  /** Called before a change of the source's bytes is acknowledged. */
  invalidate?(): void;
}

/** A file that grows while it is read: the log. */
export interface LiveContent {
  readonly kind: 'live';
  size(): number;
  /** When it last grew, or was begun. */
  changedMs(): number;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Present when users may append. Each open of the file for writing calls it. */
  appender?(): Appender;
}

/**
 * What one open file appends. A line may come in parts; it appears when its newline arrives or the file is closed. Long work is done in
 * slices and awaited.
 */
export interface Appender {
  append(bytes: Uint8Array): MaybePromise<void>;
  end(): MaybePromise<void>;
}

type MaybePromise<T> = T | Promise<T>;

/** An ordinary file of changing size in the state directory: gradients, scratch files. */
export interface StoredContent {
  readonly kind: 'stored';
  /** Maximum size; writing beyond it fails with EFBIG. */
  readonly maxSize: number;
  /** Known without asking the disk. */
  size(): number;
  /** Reads, cut at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  sync(): Promise<void>;
}

/** A file that carries out the commands that are written to it: /sys/control. */
export interface CommandContent {
  readonly kind: 'command';
  /** Carries out one line and returns what the same descriptor then reads. Throws MlfsError; the write fails with its errno. */
  perform(command: string): Promise<string>;
  /** fsync of the file. */
  sync(): Promise<void>;
}
