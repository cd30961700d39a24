import type { Extent } from './extent.ts';
import type { Image, ImageUpdate } from './image.ts';

/**
 * What a mounted file is made of. Extents are answered by the data plane where there is one; everything
 * else is answered by a function here, and its pages live in the rendered pages if it says so.
 */
export type Content =
  | ExtentContent
  | RenderedContent
  | SnapshotContent
  | LiveContent
  | StoredContent
  | CommandContent;

/**
 * How a content comes to know its size and extents where that takes long (a header of 100,000 names): getattr and open wait for `make`, which
 * works in slices of the event loop, and ask for neither before it is `done`.
 */
export interface Layout {
  readonly done: boolean;
  make(): Promise<void>;
}

/** Bytes that lie somewhere already: the ordered extents, whose lengths add up to `size`. */
export interface ExtentContent {
  readonly kind: 'extents';
  readonly size: number;
  readonly extents: readonly Extent[];
  /** Absent where size and extents are known at once. */
  readonly layout?: Layout;
  readonly writer?: ContentWriter;
}

/** Bytes of a fixed size that are computed: gathers of strided tensors, inflated entries. */
export interface RenderedContent {
  readonly kind: 'rendered';
  readonly size: number;
  /** Absent where the size is known at once. */
  readonly layout?: Layout;
  /** Returns exactly the bytes of [offset, offset+length) cut at `size`. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The part of an image that the bytes are computed from; absent when they can never change. */
  readonly origin?: ImageRange;
  /** Drops every page that was computed: something in `origin` changed. Called before the change is acknowledged. */
  invalidate?(): void;
  readonly writer?: ContentWriter;
}

export interface ImageRange {
  readonly image: Image;
  readonly offset: number;
  readonly length: number;
}

/** Present on content of a fixed size that can be written, wherever the bytes end up. */
export interface ContentWriter {
  readonly image: Image;
  /** Puts `bytes` at `offset` of the content, as part of an update of the image. The range lies inside the content. */
  write(update: ImageUpdate, offset: number, bytes: Uint8Array): Promise<void>;
}

/** Bytes of a size that is known before they are read. */
export type FixedContent = ExtentContent | RenderedContent;

/** A document that is made at each open: status, metrics, a tensor as text. */
export interface SnapshotContent {
  readonly kind: 'snapshot';
  make(signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * The content that the document is made from, where there is one: while its bytes are the same, so are the document, its size and its
   * mtime. Without it the document is of the moment.
   */
  readonly source?: FixedContent;
  /** Of a document with a source: its size, when it has been made and is still right. */
  knownSize?(): number | undefined;
  /** Of a document without a source: when it last came to say something new. Without it that is whenever it is made. */
  changedMs?(): number;
  /** Bytes of the source changed. Called before the change is acknowledged. */
  invalidate?(): void;
}

/** A file that grows under its readers: the log. */
export interface LiveContent {
  readonly kind: 'live';
  size(): number;
  /** When it last grew, or was begun. */
  changedMs(): number;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Present when users may append. Each open of the file for writing has one. */
  appender?(): Appender;
}

/**
 * What one open file adds at the end. A line may come in parts; it is there when its newline is, or when the file is closed. What takes
 * time is done in slices and is awaited.
 */
export interface Appender {
  append(bytes: Uint8Array): MaybePromise<void>;
  end(): MaybePromise<void>;
}

type MaybePromise<T> = T | Promise<T>;

/** An ordinary file of changing size that lies in the state directory: gradients, scratch files. */
export interface StoredContent {
  readonly kind: 'stored';
  /** Writing beyond it is EFBIG. */
  readonly maxSize: number;
  /** Known without asking the disk. */
  size(): number;
  /** Cut at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  sync(): Promise<void>;
}

/** A file that does what is written into it: /sys/control. */
export interface CommandContent {
  readonly kind: 'command';
  /** Carries out one line and returns what the same descriptor then reads. Throws MlfsError: the write fails with its errno. */
  perform(command: string): Promise<string>;
  /** fsync of the file. */
  sync(): Promise<void>;
}
