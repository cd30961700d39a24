import { availableParallelism } from 'node:os';
import type { SnapshotContent } from '../storage/content.ts';
import { FairGate } from './fair-gate.ts';
import type { RequestContext } from './filesystem.ts';
import type { DocumentHandle, OpenHandles } from './open-handles.ts';
import type { Supply } from './supplies.ts';

/** The facts about a snapshot from the last time it was made. */
export interface SnapshotState {
  readonly size: number;
  readonly madeMs: number;
}

/** Maximum number of documents made from tensors concurrently: each has the tensor's bytes and its text in memory. */
const MADE_AT_ONCE = Math.max(4, 2 * availableParallelism());

/**
 * The documents that are made again at each open. Each handle has the bytes of one state, so that a reader never sees a mixture of two
 * states; `stat` reports the size of the latest one.
 *
 * The memory of open documents is limited. A document that a content returns several times (because nothing changed) counts once for each
 * user who has it open.
 */
export class Snapshots {
  readonly #handles: OpenHandles;
  readonly #latest = new Map<number, SnapshotState>();
  readonly #openHandles = new Map<number, number>();
  readonly #openBytes: Supply;
  /** For each document: the number of handles of each user. */
  readonly #holders = new Map<Uint8Array, Map<number, number>>();
  /** Called when the size of a document became known. */
  readonly #onMade: (nodeid: number) => void;
  readonly #gate = new FairGate(MADE_AT_ONCE);

  constructor(handles: OpenHandles, openBytes: Supply, onMade: (nodeid: number) => void = () => undefined) {
    this.#handles = handles;
    this.#onMade = onMade;
    this.#openBytes = openBytes;
  }

  /** Makes the document and returns its handle, which keeps the bytes until it is released. Throws ENFILE. */
  async open(nodeid: number, content: SnapshotContent, context: RequestContext): Promise<number> {
    const { uid } = context;
    const claim = this.#handles.claim(uid);
    try {
      const bytes = await this.#make(nodeid, content, context);
      this.#hold(bytes, uid);
      this.#openHandles.set(nodeid, (this.#openHandles.get(nodeid) ?? 0) + 1);
      return this.#handles.add({ kind: 'document', bytes, uid }, claim);
    } catch (cause) {
      claim.giveBack();
      throw cause;
    }
  }

  /** The handle of a document was removed. */
  released(nodeid: number, { bytes, uid }: DocumentHandle): void {
    this.#letGo(bytes, uid);
    const left = (this.#openHandles.get(nodeid) ?? 0) - 1;
    if (left > 0) this.#openHandles.set(nodeid, left);
    else this.#openHandles.delete(nodeid);
  }

  /** The facts that are known without making the document. */
  known(nodeid: number): SnapshotState | undefined {
    return this.#latest.get(nodeid);
  }

  /** The state that `stat` reports: that of the open document, otherwise the present one. */
  async current(nodeid: number, content: SnapshotContent, context: RequestContext): Promise<SnapshotState> {
    const latest = this.#latest.get(nodeid);
    const known = content.knownSize?.();
    if (known !== undefined) return { size: known, madeMs: latest?.madeMs ?? Date.now() };
    if (latest !== undefined && content.source === undefined && this.#openHandles.has(nodeid)) return latest;
    try {
      const bytes = await this.#make(nodeid, content, context);
      return this.#latest.get(nodeid) ?? { size: bytes.byteLength, madeMs: Date.now() };
    } catch (cause) {
      if (content.source === undefined || context.signal.aborted) throw cause;
      // A file whose bytes cannot be read can still be listed: opening it reports the reason.
      return latest ?? { size: 0, madeMs: Date.now() };
    }
  }

  /** The document in its present state. */
  document(content: SnapshotContent, context: RequestContext): Promise<Uint8Array> {
    // A document that never changes is made once for everybody, and is small.
    const gated = content.source !== undefined && content.source.size > 0;
    return gated ? this.#gate.run(context, () => content.make()) : content.make();
  }

  #hold(bytes: Uint8Array, uid: number): void {
    const holders = this.#holders.get(bytes) ?? new Map<number, number>();
    const before = holders.get(uid) ?? 0;
    if (before === 0) this.#openBytes.take(uid, bytes.byteLength, 'ENFILE');
    this.#holders.set(bytes, holders.set(uid, before + 1));
  }

  #letGo(bytes: Uint8Array, uid: number): void {
    const holders = this.#holders.get(bytes);
    const left = (holders?.get(uid) ?? 0) - 1;
    if (left > 0) {
      holders?.set(uid, left);
      return;
    }
    holders?.delete(uid);
    if (holders?.size === 0) this.#holders.delete(bytes);
    this.#openBytes.give(uid, bytes.byteLength);
  }

  async #make(nodeid: number, content: SnapshotContent, context: RequestContext): Promise<Uint8Array> {
    const bytes = await this.document(content, context);
    this.#latest.set(nodeid, { size: bytes.byteLength, madeMs: content.changedMs?.() ?? Date.now() });
    this.#onMade(nodeid);
    return bytes;
  }
}
