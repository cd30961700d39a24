import type { Graft } from '../fuse/joined-filesystem.ts';

export interface ActivationsOptions {
  /** Makes the folder, if need be, and returns its path. Called at the first change, never for a look. */
  readonly makeFolder: () => Promise<string>;
  /** Its path whether it is there or not. */
  readonly folder: string;
  readonly log: (message: string) => void;
}

/** /activations: an ordinary writable folder that is kept in the state directory. Nothing yet. */
export function activationsRoom(_options: ActivationsOptions): Graft | undefined {
  return undefined;
}
