import type { Answer, Operation } from './operation.ts';

/** Carries operations out on something that is to behave as the model does. */
export interface Client {
  /** Whether a kernel that keeps pages of files stands between the tree and who uses it. */
  readonly pagesAreKept: boolean;
  perform(operation: Operation): Promise<Answer>;
  /** The checkpoint file as it is now. */
  file(): Promise<Buffer>;
  close(): Promise<void>;
}
