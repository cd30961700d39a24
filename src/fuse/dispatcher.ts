import { errno, MlfsError } from '../errors.ts';
import { Backings } from './backings.ts';
import type { Filesystem } from './filesystem.ts';
import type { Handler, Session } from './handlers/handler.ts';
import { handlerOf, WITHOUT_REPLY } from './handlers/table.ts';
import type { DispatcherHooks } from './hooks.ts';
import { KnownInodes } from './known-inodes.ts';
import { ERRNO } from './protocol/errno.ts';
import { decodeInterrupt } from './protocol/interrupt.ts';
import { OPCODE_LIMIT, OPCODES, opcodeName } from './protocol/opcodes.ts';
import { errorReply, REPLY_BODY } from './protocol/reply.ts';
import { BODY, Request } from './protocol/request.ts';
import { traced } from './request-trace.ts';

export type { DispatcherHooks } from './hooks.ts';

/**
 * Turns messages of the kernel into calls of a Filesystem, and their results into replies. It does not own the device: the transport passes
 * messages in and takes replies out, so everything here is bytes to bytes.
 *
 * Invariants:
 * - Every request gets exactly one reply, whatever it contains and whatever the filesystem does; FORGET and
 *   NOTIFY_REPLY get none, INTERRUPT only when it came for nothing.
 * - A request that the filesystem answers at once is answered before `handle` returns.
 * - A thrown MlfsError becomes its errno here and nowhere else. Anything else that is thrown is EIO and a log line.
 * - `unique` is copied, never interpreted.
 */
export class Dispatcher {
  readonly #hooks: DispatcherHooks;
  readonly #session: Session;
  /** Requests whose answer is a promise, by `unique`. */
  readonly #pending = new Map<bigint, Request>();
  readonly #counts = new Float64Array(OPCODE_LIMIT);
  #unknown = 0;
  #errors = 0;
  #ended = false;

  constructor(filesystem: Filesystem, hooks: DispatcherHooks) {
    this.#hooks = hooks;
    const inodes = new KnownInodes(filesystem, hooks);
    const backings = new Backings(hooks);
    this.#session = { filesystem, hooks, inodes, backings, negotiated: undefined };
  }

  /** Takes one complete message, and keeps it until it is answered. Never throws. */
  handle(message: Buffer): void {
    if (message.length < BODY) {
      this.#hooks.log('error', `a message of ${message.length} bytes is too short for a request header`);
      return;
    }
    const opcode = message.readUInt32LE(4);
    this.#count(opcode);
    const beganMs = this.#hooks.trace === undefined ? NOT_TRACED : performance.now();
    let request: Request;
    try {
      request = new Request(message);
      this.#hooks.catchUp?.();
      if (opcode === OPCODES.INTERRUPT) this.#interrupt(request);
      else this.#answer(request, beganMs);
    } catch (cause) {
      this.#refuse(message, cause, beganMs);
    }
  }

  /** The transport counted the last references to these inodes away. */
  forgotten(nodeids: Iterable<number>): void {
    this.#session.inodes.forgotten(nodeids);
  }

  /** Interrupts all requests in progress: the connection has ended, and replies cannot be sent. */
  end(): void {
    this.#ended = true;
    for (const request of this.#pending.values()) request.interrupt();
  }

  /** For the metrics: requests by opcode, refusals, and resources in use. */
  counters(): Readonly<Record<string, number>> {
    const counters: Record<string, number> = {
      request_errors_total: this.#errors,
      requests_unknown_total: this.#unknown,
      requests_pending: this.#pending.size,
      inodes_known: this.#session.inodes.size,
      ...this.#session.backings.counters(),
    };
    for (const [opcode, count] of this.#counts.entries()) {
      if (count > 0 || KNOWN_OPCODES.has(opcode))
        counters[`requests_${opcodeName(opcode).toLowerCase()}_total`] = count;
    }
    return counters;
  }

  #answer(request: Request, beganMs: number): void {
    const giveBack = this.#account(request);
    let answer: ReturnType<Handler>;
    try {
      answer = handlerOf(request.opcode)(this.#session, request);
    } catch (refusal) {
      giveBack?.();
      throw refusal;
    }
    if (answer instanceof Promise) {
      this.#wait(request, giveBack === undefined ? answer : answer.finally(giveBack), beganMs);
      return;
    }
    giveBack?.();
    if (beganMs !== NOT_TRACED) this.#traced(request.message, errnoTold(request, answer), beganMs);
    if (answer === undefined) return;
    this.#send(answer);
    if (request.opcode === OPCODES.INIT && this.#session.negotiated !== undefined) {
      this.#hooks.initialized(this.#session.negotiated);
    }
  }

  /** A waiting write keeps its bytes in memory, a megabyte for each thread that writes. Throws ENOSPC. */
  #account({ opcode, uid, message }: Request): (() => void) | undefined {
    const { pendingBytes } = this.#hooks;
    if (opcode !== OPCODES.WRITE || pendingBytes === undefined) return undefined;
    pendingBytes.take(uid, message.byteLength, 'ENOSPC');
    return () => pendingBytes.give(uid, message.byteLength);
  }

  #wait(request: Request, answer: Promise<Buffer>, beganMs: number): void {
    const { unique } = request;
    this.#pending.set(unique, request);
    answer
      .finally(() => this.#pending.delete(unique))
      .then(
        (reply) => {
          if (beganMs !== NOT_TRACED) this.#traced(request.message, errnoTold(request, reply), beganMs);
          this.#send(reply);
        },
        (cause) => this.#refuse(request.message, cause, beganMs),
      )
      .catch((cause) => this.#hooks.log('error', `a reply could not be sent: ${describe(cause)}`));
  }

  /**
   * Aborts the request's signal. The operation answers EINTR itself, or continues if it must not stop half-way. An unknown request was either
   * answered in the meantime, or another thread still has it: the kernel then expects EAGAIN after some time, and repeats the interrupt if it
   * is still waiting.
   */
  #interrupt(request: Request): void {
    const target = decodeInterrupt(request);
    const pending = this.#pending.get(target);
    if (pending !== undefined) {
      pending.interrupt();
      return;
    }
    const later = setTimeout(() => {
      const late = this.#pending.get(target);
      if (late === undefined) this.#refuse(request.message, errno('EAGAIN'));
      else late.interrupt();
    }, INTERRUPT_PATIENCE_MS);
    later.unref();
  }

  #refuse(message: Buffer, cause: unknown, beganMs: number = NOT_TRACED): void {
    const opcode = message.readUInt32LE(4);
    const refusal = asRefusal(cause);
    this.#traced(message, refusal.errno, beganMs);
    if (refusal.logged) this.#hooks.log('error', `${opcodeName(opcode)}: ${describe(cause)}`);
    if (WITHOUT_REPLY.has(opcode)) return;
    this.#errors++;
    this.#send(errorReply(message, refusal.errno));
  }

  #traced(message: Buffer, errno: number, beganMs: number): void {
    if (beganMs === NOT_TRACED) return;
    this.#hooks.trace?.(traced(message, errno, beganMs));
  }

  #send(reply: Buffer): void {
    if (!this.#ended) this.#hooks.reply(reply);
  }

  #count(opcode: number): void {
    if (opcode < OPCODE_LIMIT) this.#counts[opcode] = (this.#counts[opcode] ?? 0) + 1;
    else this.#unknown++;
  }
}

/** The errno that the log gives for a reply that is not an error: a LOOKUP that finds nothing is answered with nodeid 0, which the kernel may keep. */
function errnoTold(request: Request, reply: Buffer | undefined): number {
  const absent = request.opcode === OPCODES.LOOKUP && reply?.readBigUInt64LE(REPLY_BODY) === 0n;
  return absent ? ERRNO.ENOENT : 0;
}

/** Instead of the time at which a request came. */
const NOT_TRACED = -1;

/** Counted from the start, so that a status document keeps its size. */
const KNOWN_OPCODES: ReadonlySet<number> = new Set(Object.values(OPCODES));

/** How long an interrupt waits for its request. Without a delay, kernel and server would send it back and forth. */
const INTERRUPT_PATIENCE_MS = 10;

/** Ordinary refusals are normal answers; every other failure has a line in the log. */
function asRefusal(cause: unknown): { errno: number; logged: boolean } {
  if (cause instanceof MlfsError) {
    return { errno: ERRNO[cause.errno], logged: cause.code !== 'ERR_MLFS_ERRNO' };
  }
  if (cause instanceof Error && cause.name === 'AbortError') return { errno: ERRNO.EINTR, logged: false };
  return { errno: ERRNO.EIO, logged: true };
}

function describe(cause: unknown): string {
  if (cause instanceof MlfsError) return cause.message;
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}
