import type { Extent } from '../storage/extent.ts';
import type { WritesInPlace } from './filesystem.ts';
import type { Negotiated } from './protocol/init.ts';
import type { Trace } from './request-trace.ts';
import type { Supply } from './supplies.ts';

/** What a Dispatcher needs from the transport that owns the device. */
export interface DispatcherHooks {
  /** Sends one whole reply, header included. */
  reply(reply: Buffer): void;
  /** From now on READ of this inode may be answered from these extents. Called before the reply to OPEN is sent. */
  publish(nodeid: number, extents: readonly Extent[]): void;
  /** The kernel holds no reference to the inode any more. */
  withdraw(nodeid: number): void;
  /** What JavaScript shows must include every write that was acknowledged. Called before each request. */
  catchUp?(): void;
  /** From now on WRITE of this handle may be carried out without JavaScript. Called before the reply to OPEN is sent. */
  grantWrites?(nodeid: number, handle: number, writes: WritesInPlace): void;
  /** The handle is released. */
  revokeWrites?(nodeid: number, handle: number): void;
  /** Counts a reference to an inode where the transport counts them; false if it does not count this one. */
  addReference?(nodeid: number): boolean;
  /** Takes references back that the transport counted; false if it does not count them. */
  dropReferences?(nodeid: number, count: number): boolean;
  /** How many references the transport counts. */
  references?(nodeid: number): number;
  /** Lets the kernel read and write an open file directly: returns an id for the reply, or undefined if the kernel refuses. */
  openBacking?(fd: number): number | undefined;
  closeBacking?(id: number): void;
  /** INIT was answered: the mount point answers from now on. */
  initialized(negotiated: Negotiated): void;
  log(level: 'debug' | 'warn' | 'error', message: string): void;
  /** Hears of every request when it is answered; absent unless somebody wants to know. */
  readonly trace?: Trace;
  readonly limits: DispatcherLimits;
  /** Limits what users may have waiting; no limit if absent. */
  readonly pendingBytes?: Supply;
}

export interface DispatcherLimits {
  /** Largest WRITE. */
  readonly maxWriteBytes: number;
  /** Largest READ in pages; the kernel lowers it to fs.fuse.max_pages_limit. */
  readonly maxPages: number;
  readonly maxReadaheadBytes: number;
  readonly maxBackground: number;
  /** Ask for passthrough: the kernel itself then reads and writes files that have a `backing`. */
  readonly passthrough?: boolean;
}
