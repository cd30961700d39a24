import type { NativeKernelView } from '../storage/native.ts';

/** Inodes from `first` to before `end`. */
export interface NodeidRange {
  readonly first: number;
  readonly end: number;
}

/** Where a transport takes kernel views. */
export interface ViewSlots {
  /** The view that the mount's options announced. */
  readonly first: NativeKernelView;
  /** Announces the view of a later tree. */
  expect(range: NodeidRange): NativeKernelView;
  /** Why the kernel would not use a view. */
  readonly refusal: string | undefined;
}
