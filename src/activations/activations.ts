import type { Graft } from '../fuse/joined-filesystem.ts';
import { ActivationsFilesystem } from './activations-filesystem.ts';

export interface ActivationsOptions {
  /** Makes the folder, if need be. Called at the first change, never for a look. */
  readonly makeFolder: () => Promise<void>;
  /** Its path whether it is there or not. */
  readonly folder: string;
  readonly log: (message: string) => void;
}

export interface ActivationsRoom extends Graft {
  /** Lets go of every descriptor when the mount is gone. */
  close(): Promise<void>;
}

/** /activations: an ordinary writable folder that is kept in the state directory. */
export function activationsRoom({ folder, makeFolder }: ActivationsOptions): ActivationsRoom {
  const filesystem = new ActivationsFilesystem({ folder, makeFolder });
  return { name: 'activations', filesystem, close: () => filesystem.close() };
}
