import { FairGate } from '../fuse/fair-gate.ts';
import { GatedFilesystem } from '../fuse/gated-filesystem.ts';
import type { Graft } from '../fuse/joined-filesystem.ts';
import type { Supplies } from '../fuse/supplies.ts';
import { ActivationsFilesystem } from './activations-filesystem.ts';
import type { FoldersOptions } from './folders.ts';

/** Maximum number of concurrent operations on names. Each holds up to four of the server's own descriptors while it runs. */
const OPERATIONS_AT_ONCE = 48;

export interface ActivationsOptions extends FoldersOptions {
  readonly supplies: Supplies;
}

export interface ActivationsRoom extends Graft {
  /** Closes every descriptor when the mount is gone. */
  close(): Promise<void>;
}

/** /activations: an ordinary writable folder that is kept in the state directory. */
export function activationsRoom(options: ActivationsOptions): ActivationsRoom {
  const filesystem = new ActivationsFilesystem(options);
  const gated = new GatedFilesystem(filesystem, new FairGate(OPERATIONS_AT_ONCE));
  return { name: 'activations', filesystem: gated, close: () => filesystem.close() };
}
