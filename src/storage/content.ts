import type { Extent } from './extent.ts';

/**
 * What a mounted file is made of. Extents are answered by the data plane where there is one; everything
 * else is answered by a function here, and its pages live in the LRU page cache if it says so.
 */
export type Content = ExtentContent | RenderedContent | SnapshotContent | LiveContent;

/** Bytes that lie somewhere already: the ordered extents, whose lengths add up to `size`. */
export interface ExtentContent {
  readonly kind: 'extents';
  readonly size: number;
  readonly extents: readonly Extent[];
}

/** Bytes of a fixed size that are computed: gathers of strided tensors, inflated entries. */
export interface RenderedContent {
  readonly kind: 'rendered';
  readonly size: number;
  /** Returns exactly the bytes of [offset, offset+length) cut at `size`. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A small document that is made anew at each open: status, metrics. */
export interface SnapshotContent {
  readonly kind: 'snapshot';
  make(): Promise<Uint8Array>;
}

/** A file that grows under its readers: the log. */
export interface LiveContent {
  readonly kind: 'live';
  size(): number;
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Present when users may append; takes whole writes. */
  append?(bytes: Uint8Array): Promise<void>;
}
