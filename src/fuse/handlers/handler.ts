import type { Backings } from '../backings.ts';
import type { Filesystem, MaybePromise } from '../filesystem.ts';
import type { DispatcherHooks } from '../hooks.ts';
import type { KnownInodes } from '../known-inodes.ts';
import type { Negotiated } from '../protocol/init.ts';
import type { Request } from '../protocol/request.ts';

/** What a handler can use. */
export interface Session {
  readonly filesystem: Filesystem;
  readonly hooks: DispatcherHooks;
  readonly inodes: KnownInodes;
  readonly backings: Backings;
  /** Set by INIT. */
  negotiated: Negotiated | undefined;
}

/**
 * Answers one opcode: decodes the request, calls the filesystem, encodes the whole reply. A refusal is thrown. Opcodes
 * without a reply return nothing.
 */
export type Handler = (session: Session, request: Request) => MaybePromise<Buffer> | undefined;

/** A page of the wire: max_pages counts in these. */
const PAGE = 4096;

/** Limits of the kernel for one request. A larger length does not come from the kernel. */
export function readLimit(session: Session): number {
  return session.hooks.limits.maxPages * PAGE;
}
