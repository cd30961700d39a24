import type { Graft } from '../fuse/joined-filesystem.ts';
import { ActivationsFilesystem } from './activations-filesystem.ts';
import type { FoldersOptions } from './folders.ts';

export interface ActivationsOptions extends FoldersOptions {
  readonly log: (message: string) => void;
}

export interface ActivationsRoom extends Graft {
  /** Lets go of every descriptor when the mount is gone. */
  close(): Promise<void>;
}

/** /activations: an ordinary writable folder that is kept in the state directory. */
export function activationsRoom(options: ActivationsOptions): ActivationsRoom {
  const filesystem = new ActivationsFilesystem(options);
  return { name: 'activations', filesystem, close: () => filesystem.close() };
}
