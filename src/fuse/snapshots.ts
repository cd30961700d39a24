import type { SnapshotContent } from '../storage/content.ts';
import type { OpenHandles } from './open-handles.ts';

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
  readonly #handles: OpenHandles;
  readonly #latest = new Map<number, SnapshotState>();
  readonly #openHandles = new Map<number, number>();

  constructor(handles: OpenHandles) {
    this.#handles = handles;
  }

  /** Makes the document and returns the handle that its bytes are kept under until it is released. */
  async open(nodeid: number, content: SnapshotContent): Promise<number> {
    const bytes = await this.#make(nodeid, content);
    this.#openHandles.set(nodeid, (this.#openHandles.get(nodeid) ?? 0) + 1);
    return this.#handles.add({ kind: 'document', bytes });
  }

  /** The handle of a document was removed. */
  released(nodeid: number): void {
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
    const known = content.knownSize?.();
    if (known !== undefined) return { size: known, madeMs: latest?.madeMs ?? Date.now() };
    if (latest !== undefined && content.source === undefined && this.#openHandles.has(nodeid)) return latest;
    try {
      const bytes = await this.#make(nodeid, content);
      return this.#latest.get(nodeid) ?? { size: bytes.byteLength, madeMs: Date.now() };
    } catch (cause) {
      if (content.source === undefined) throw cause;
      // A file whose bytes cannot be read can be looked at: opening it says why.
      return latest ?? { size: 0, madeMs: Date.now() };
    }
  }

  async #make(nodeid: number, content: SnapshotContent): Promise<Uint8Array> {
    const bytes = await content.make();
    this.#latest.set(nodeid, { size: bytes.byteLength, madeMs: Date.now() });
    return bytes;
  }
}
