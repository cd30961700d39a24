/**
 * Decides which operations may wait until the kernel has dropped its cache. A write must be visible through every other name of its bytes
 * when it is acknowledged, so it waits for the invalidations that it caused. But waiting can deadlock:
 *
 * - While a WRITE is unanswered, the kernel may hold locks on the pages of its inode, and an invalidation waits for such locks.
 *   So W(x), waiting for I(y), and W(y), waiting for I(x), would wait for ever. So would W(x), waiting for an invalidation that is in the
 *   queue after an I(x).
 * - Invalidations are carried out one after the other, in the order in which they were sent, by a thread that answers nothing.
 *
 * The rule: W(x) waits for the invalidations that it caused unless an invalidation of x itself is queued or running. Besides WRITE only
 * FLUSH, RENAME and commands wait, and they hold no pages.
 *
 * Why that is enough: let I(y) be the first in the queue, blocked by the pages of an unanswered W(y). If W(y) waits for some I(z), then no
 * I(y) was queued when it began to wait. So I(y) was sent after I(z), and I(z) was before the first in the queue: it is done. A W(y) that
 * does not wait is answered. (An invalidation may write dirty pages of y itself: that W(y) finds I(y) running.)
 *
 * A write that does not wait is acknowledged a moment before the other names are current. A timeout ends any wait that this reasoning missed.
 */
import type { Invalidation, Notifier } from './filesystem.ts';

/** Much longer than any invalidation, and shorter than a user's patience. */
const PATIENCE_MS = 2000;

/** Invalidations that were sent. */
export interface Sent {
  /** Resolves when the kernel has dropped its cache, and never rejects. */
  readonly done: Promise<void>;
}

export const NOTHING: Sent = { done: Promise.resolve() };

export class Invalidations {
  readonly #warn: (message: string) => void;
  #notifier: Notifier | undefined;
  /** How many invalidations of pages are queued or running, by nodeid. */
  readonly #pending = new Map<number, number>();

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  connect(notifier: Notifier): void {
    this.#notifier = notifier;
  }

  /** Whether the transport can tell the kernel anything. */
  get connected(): boolean {
    return this.#notifier !== undefined;
  }

  send(invalidations: readonly Invalidation[]): Sent {
    const nodeids = new Set<number>();
    for (const one of invalidations) if (one.kind !== 'name') nodeids.add(one.nodeid);
    if (this.#notifier === undefined || invalidations.length === 0) return NOTHING;
    for (const nodeid of nodeids) this.#pending.set(nodeid, (this.#pending.get(nodeid) ?? 0) + 1);
    const done = this.#notifier
      .invalidate(invalidations)
      .catch((cause) => this.#warn(`the kernel could not be told what changed: ${cause}`))
      .finally(() => {
        for (const nodeid of nodeids) this.#ended(nodeid);
      });
    return { done };
  }

  /** For a WRITE to `nodeid` that caused these invalidations: waits if it may. */
  async settleWrite(nodeid: number, sent: Sent): Promise<void> {
    if (!this.#pending.has(nodeid)) await this.settle(sent);
  }

  /** For operations that hold no pages. */
  async settle(sent: Sent): Promise<void> {
    if (sent === NOTHING) return;
    const { done } = sent;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.#warn(`an invalidation takes longer than ${PATIENCE_MS} ms; it is not waited for`);
        resolve();
      }, PATIENCE_MS);
    });
    await Promise.race([done, patience]);
    clearTimeout(timer);
  }

  #ended(nodeid: number): void {
    const left = (this.#pending.get(nodeid) ?? 0) - 1;
    if (left > 0) this.#pending.set(nodeid, left);
    else this.#pending.delete(nodeid);
  }
}
