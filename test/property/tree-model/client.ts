import type { Answer, Operation } from './operation.ts';

/** What stands between the tree and who uses it. */
export interface Between {
  /** A kernel keeps pages of files. */
  readonly pagesAreKept: boolean;
  /** Before a rename, an open file in its way is renamed itself, and stays so when the rename is refused. libfuse does it. */
  readonly openFilesAreMovedAway: boolean;
  /** What was removed of the checkpoint may be back before the next operation, because it takes long. */
  readonly removedNamesReturn: boolean;
}

/** Carries operations out on something that is to behave as the model does. */
export interface Client {
  readonly between: Between;
  perform(operation: Operation): Promise<Answer>;
  /** The checkpoint file as it is now. */
  file(): Promise<Buffer>;
  close(): Promise<void>;
}
