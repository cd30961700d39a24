import { errno } from '../errors.ts';
import type { OpenReply } from '../fuse/filesystem.ts';
import { type Claim, claimOpenFile, type Supplies } from '../fuse/supplies.ts';
import type { CallFile } from './call.ts';
import type { CallFolder } from './call-folders.ts';
import type { Lease } from './call-queue.ts';
import type { WorkerFile } from './workers.ts';

/** The kinds of open files of /rpc. */
export type RpcHandle =
  | {
      readonly kind: 'worker';
      readonly file: WorkerFile;
      readonly bytes: Buffer;
      readonly lease: Lease | undefined;
    }
  | { readonly kind: 'document'; readonly bytes: Buffer }
  | { readonly kind: 'input'; readonly folder: CallFolder; written: boolean }
  | { readonly kind: 'output'; readonly file: CallFile }
  | { readonly kind: 'draft'; readonly folder: CallFolder; readonly version: number }
  | { readonly kind: 'answer'; readonly folder: CallFolder; text: Buffer }
  | { readonly kind: 'one file'; readonly folder: CallFolder; readonly flags: number };

/** The open files of /rpc, and the supplies that each of them uses. */
export class OpenRpcFiles {
  readonly #supplies: Pick<Supplies, 'openFiles' | 'openBytes'>;
  readonly #handles = new Map<number, RpcHandle>();
  readonly #claims = new Map<number, Claim>();
  #last = 0;

  constructor(supplies: Pick<Supplies, 'openFiles' | 'openBytes'>) {
    this.#supplies = supplies;
  }

  /** Opens a file that keeps so many bytes in memory, and charges them to a user. Throws ENFILE before anything is done. */
  async opening(uid: number, bytes: number, open: () => Promise<OpenReply>): Promise<OpenReply> {
    // Claimed before the open, so that a user whose open waits is charged, too.
    const claim = claimOpenFile(this.#supplies, uid, bytes);
    try {
      const reply = await open();
      this.#claims.set(reply.handle, claim);
      return reply;
    } catch (cause) {
      claim.giveBack();
      throw cause;
    }
  }

  add(handle: RpcHandle): OpenReply {
    this.#handles.set(++this.#last, handle);
    return { handle: this.#last, caching: 'direct' };
  }

  find(handle: number): RpcHandle | undefined {
    return this.#handles.get(handle);
  }

  /** Throws EBADF. */
  get(handle: number): RpcHandle {
    const open = this.#handles.get(handle);
    if (open === undefined) throw errno('EBADF', `handle ${handle} is not open`);
    return open;
  }

  remove(handle: number): RpcHandle | undefined {
    const open = this.#handles.get(handle);
    this.#handles.delete(handle);
    this.#claims.get(handle)?.giveBack();
    this.#claims.delete(handle);
    return open;
  }
}
