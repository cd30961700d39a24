import { closeSync, readSync, writeSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { loadNative, type NativeSession } from '../../../../src/storage/native.ts';

/** How a session served one message: by a reply of its own, or by handing on what is left of it. */
export type Served = { readonly reply: Buffer } | { readonly forwarded: Buffer } | undefined;

const LARGEST_REPLY = 2 << 20;
/** An opcode that nobody answers natively: everything before it was served. */
const LAST_OPCODE = 0x7fff_0001;
const HEADER = 40;

/** A session whose kernel is the test: messages go in, and what becomes of them comes out. */
export class FakeKernel {
  readonly session: NativeSession;
  readonly forgotten: number[] = [];
  readonly #kernel: number;
  readonly #forwarded = new Map<bigint, Buffer>();
  readonly #buffer = Buffer.alloc(LARGEST_REPLY);
  #lastUnique = 2n ** 62n;

  constructor(options: { readonly compare?: boolean } = {}) {
    const addon = loadNative();
    if (addon === undefined) throw new Error('the addon is not built');
    const [device, kernel] = addon.fakeDevice();
    this.#kernel = kernel;
    // One thread, so that messages are served in their order.
    this.session = new addon.Session(device, {
      threads: 1,
      maxWriteBytes: 1 << 20,
      nearServer: false,
      ...options,
    });
    this.session.start(
      (message) => this.#forwarded.set(message.readBigUInt64LE(8), message),
      () => undefined,
      () => undefined,
      (nodeids) => this.forgotten.push(...nodeids),
    );
  }

  /** Serves messages in their order. Each must have a `unique` of its own. */
  async serve(messages: readonly Buffer[]): Promise<Served[]> {
    const replies = new Map<bigint, Buffer>();
    this.#forwarded.clear();
    for (const message of messages) {
      writeSync(this.#kernel, message);
      this.#collect(replies);
    }
    const last = ++this.#lastUnique;
    writeSync(this.#kernel, lastMessage(last));
    while (!this.#forwarded.has(last)) await setImmediate();
    this.#collect(replies);
    return messages.map((message) => {
      const unique = message.readBigUInt64LE(8);
      const reply = replies.get(unique);
      if (reply !== undefined) return { reply };
      const forwarded = this.#forwarded.get(unique);
      return forwarded && { forwarded };
    });
  }

  close(): void {
    this.session.close();
    closeSync(this.#kernel);
  }

  #collect(replies: Map<bigint, Buffer>): void {
    for (;;) {
      let length: number;
      try {
        length = readSync(this.#kernel, this.#buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
        throw error;
      }
      const reply = Buffer.from(this.#buffer.subarray(0, length));
      replies.set(reply.readBigUInt64LE(8), reply);
    }
  }
}

function lastMessage(unique: bigint): Buffer {
  const message = Buffer.alloc(HEADER);
  message.writeUInt32LE(HEADER, 0);
  message.writeUInt32LE(LAST_OPCODE, 4);
  message.writeBigUInt64LE(unique, 8);
  return message;
}
