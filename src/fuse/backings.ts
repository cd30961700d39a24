import type { OpenReply } from './filesystem.ts';
import type { DispatcherHooks } from './hooks.ts';

interface Backing {
  /** Undefined: the kernel does not serve this inode itself; the server serves all of its opens. */
  readonly id: number | undefined;
  /** How many opens have each handle: opens that need no state share one. */
  readonly opens: Map<number, number>;
}

/**
 * Files that the kernel reads and writes itself (FUSE passthrough). The kernel allows no mixture: while an inode is open, every further open
 * must have the same backing file, or none. So the first open decides for all opens until the last one is closed.
 */
export class Backings {
  readonly #hooks: Pick<DispatcherHooks, 'openBacking' | 'closeBacking'>;
  readonly #open = new Map<number, Backing>();
  #passed = 0;
  #plain = 0;

  constructor(hooks: Pick<DispatcherHooks, 'openBacking' | 'closeBacking'>) {
    this.#hooks = hooks;
  }

  /** The id for the reply, or undefined if the server serves the file. */
  opened(nodeid: number, { handle, backing: fd }: OpenReply): number | undefined {
    if (fd === undefined) return undefined;
    const known = this.#open.get(nodeid);
    const backing = known ?? { id: this.#hooks.openBacking?.(fd), opens: new Map() };
    if (known === undefined) this.#open.set(nodeid, backing);
    backing.opens.set(handle, (backing.opens.get(handle) ?? 0) + 1);
    if (backing.id === undefined) this.#plain++;
    else this.#passed++;
    return backing.id;
  }

  released(nodeid: number, handle: number): void {
    const backing = this.#open.get(nodeid);
    const opens = backing?.opens.get(handle);
    if (backing === undefined || opens === undefined) return;
    if (opens > 1) backing.opens.set(handle, opens - 1);
    else backing.opens.delete(handle);
    if (backing.opens.size > 0) return;
    this.#open.delete(nodeid);
    if (backing.id !== undefined) this.#hooks.closeBacking?.(backing.id);
  }

  counters(): Readonly<Record<string, number>> {
    return { passthrough_opens_total: this.#passed, plain_backed_opens_total: this.#plain };
  }
}
