import { errno } from '../errors.ts';
import type { SnapshotContent } from '../storage/content.ts';

/** What is known of a snapshot from the last time it was made. */
export interface SnapshotState {
  readonly size: number;
  readonly madeMs: number;
}

/**
 * The small documents that are made anew at each open. Each handle has its own bytes, so that a reader never sees half
 * of one state and half of another; `stat` sees the size of the latest.
 */
export class Snapshots {
  readonly #bytes = new Map<number, Uint8Array>();
  readonly #latest = new Map<number, SnapshotState>();
  readonly #openHandles = new Map<number, number>();
  #lastHandle = 0;

  /** Makes the document and returns the handle that its bytes are kept under until `release`. */
  async open(nodeid: number, content: SnapshotContent): Promise<number> {
    const bytes = await this.#make(nodeid, content);
    const handle = ++this.#lastHandle;
    this.#bytes.set(handle, bytes);
    this.#openHandles.set(nodeid, (this.#openHandles.get(nodeid) ?? 0) + 1);
    return handle;
  }

  bytes(handle: number): Uint8Array {
    const bytes = this.#bytes.get(handle);
    if (bytes === undefined) throw errno('EBADF', `handle ${handle} is not open`);
    return bytes;
  }

  release(nodeid: number, handle: number): void {
    if (!this.#bytes.delete(handle)) return;
    const left = (this.#openHandles.get(nodeid) ?? 0) - 1;
    if (left > 0) this.#openHandles.set(nodeid, left);
    else this.#openHandles.delete(nodeid);
  }

  /** What is known without making the document. */
  known(nodeid: number): SnapshotState | undefined {
    return this.#latest.get(nodeid);
  }

  /** The state that `stat` shows: of what is open, otherwise of now. */
  async current(nodeid: number, content: SnapshotContent): Promise<SnapshotState> {
    const latest = this.#latest.get(nodeid);
    if (latest !== undefined && this.#openHandles.has(nodeid)) return latest;
    const bytes = await this.#make(nodeid, content);
    return this.#latest.get(nodeid) ?? { size: bytes.byteLength, madeMs: Date.now() };
  }

  async #make(nodeid: number, content: SnapshotContent): Promise<Uint8Array> {
    const bytes = await content.make();
    this.#latest.set(nodeid, { size: bytes.byteLength, madeMs: Date.now() });
    return bytes;
  }
}
