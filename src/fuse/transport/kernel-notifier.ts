import type { NativeSession } from '../../storage/native.ts';
import type { Invalidation, Notifier } from '../filesystem.ts';
import { encodeInvalidateEntry, encodeInvalidateInode, encodeStore } from '../protocol/notify.ts';

/** Errnos of a notification that need no line in the log: the kernel does not know the inode or name, or the connection has ended. */
const ENOENT = 2;
const ENODEV = 19;
const ENOTCONN = 107;

/** Invalidations by the addon's notification thread, in the order of the requests. */
export class KernelNotifier implements Notifier {
  readonly #native: NativeSession;
  readonly #warn: (message: string) => void;
  readonly #pending = new Map<number, () => void>();
  #last = 0;
  #ended = false;

  constructor(native: NativeSession, warn: (message: string) => void) {
    this.#native = native;
    this.#warn = warn;
  }

  async invalidate(invalidations: readonly Invalidation[]): Promise<void> {
    await Promise.all(invalidations.map((invalidation) => this.#send(invalidation)));
  }

  /** The addon's answer. */
  notified(number: number, errno: number): void {
    if (errno !== 0 && errno !== ENOENT && errno !== ENODEV && errno !== ENOTCONN) {
      this.#warn(`an invalidation failed: errno ${errno}`);
    }
    this.#pending.get(number)?.();
    this.#pending.delete(number);
  }

  /** The connection has ended: there is nothing left to invalidate. */
  end(): void {
    this.#ended = true;
    for (const done of this.#pending.values()) done();
    this.#pending.clear();
  }

  #send(invalidation: Invalidation): Promise<void> {
    if (this.#ended) return Promise.resolve();
    const message = encode(invalidation);
    return new Promise((resolve) => {
      const number = ++this.#last;
      this.#pending.set(number, resolve);
      this.#native.notify(number, message);
    });
  }
}

function encode(invalidation: Invalidation): Buffer {
  switch (invalidation.kind) {
    case 'pages':
      return encodeInvalidateInode(invalidation.nodeid, invalidation.offset, invalidation.length);
    case 'name':
      return encodeInvalidateEntry(invalidation.parent, invalidation.name);
    case 'end':
      return encodeStore(invalidation.nodeid, invalidation.offset, invalidation.bytes);
  }
}
