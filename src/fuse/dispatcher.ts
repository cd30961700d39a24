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
import { errorReply } from './protocol/reply.ts';
import { BODY, Request } from './protocol/request.ts';

export type { DispatcherHooks, DispatcherLimits } from './hooks.ts';
export type { Negotiated } from './protocol/init.ts';

/**
 * Turns messages of the kernel into calls of a Filesystem and their outcomes into replies. It owns no device: the
 * transport hands messages in and takes replies out, so that everything here is bytes to bytes.
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

  /** Takes one whole message. The dispatcher keeps it until it is answered. Never throws. */
  handle(message: Buffer): void {
    if (message.length < BODY) {
      this.#hooks.log('error', `a message of ${message.length} bytes is too short for a request header`);
      return;
    }
    const opcode = message.readUInt32LE(4);
    this.#count(opcode);
    let request: Request;
    try {
      request = new Request(message);
      if (opcode === OPCODES.INTERRUPT) this.#interrupt(request);
      else this.#answer(request);
    } catch (cause) {
      this.#refuse(message, cause);
    }
  }

  /** Interrupts everything that is under way: the connection is over and replies have nowhere to go. */
  end(): void {
    this.#ended = true;
    for (const request of this.#pending.values()) request.interrupt();
  }

  /** Requests by opcode, refusals, and what is held, for the metrics. */
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

  #answer(request: Request): void {
    const giveBack = this.#account(request);
    let answer: ReturnType<Handler>;
    try {
      answer = handlerOf(request.opcode)(this.#session, request);
    } catch (refusal) {
      giveBack?.();
      throw refusal;
    }
    if (answer instanceof Promise) {
      this.#wait(request, giveBack === undefined ? answer : answer.finally(giveBack));
      return;
    }
    giveBack?.();
    if (answer === undefined) return;
    this.#send(answer);
    if (request.opcode === OPCODES.INIT && this.#session.negotiated !== undefined) {
      this.#hooks.initialized(this.#session.negotiated);
    }
  }

  /** A write that waits keeps its bytes in memory, a megabyte for each thread that writes. Throws ENOSPC. */
  #account({ opcode, uid, message }: Request): (() => void) | undefined {
    const { pendingBytes } = this.#hooks;
    if (opcode !== OPCODES.WRITE || pendingBytes === undefined) return undefined;
    pendingBytes.take(uid, message.byteLength, 'ENOSPC');
    return () => pendingBytes.give(uid, message.byteLength);
  }

  #wait(request: Request, answer: Promise<Buffer>): void {
    const { unique } = request;
    this.#pending.set(unique, request);
    answer
      .finally(() => this.#pending.delete(unique))
      .then(
        (reply) => this.#send(reply),
        (cause) => this.#refuse(request.message, cause),
      )
      .catch((cause) => this.#hooks.log('error', `a reply could not be sent: ${describe(cause)}`));
  }

  /**
   * Aborts the request's signal; the operation answers EINTR itself, or goes on if it must not stop half-way. An
   * unknown request was either answered meanwhile, or another thread still has it in hand: the kernel wants EAGAIN
   * then, after some time, and repeats the interrupt if it is still waiting.
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

  #refuse(message: Buffer, cause: unknown): void {
    const opcode = message.readUInt32LE(4);
    const refusal = asRefusal(cause);
    if (refusal.logged) this.#hooks.log('error', `${opcodeName(opcode)}: ${describe(cause)}`);
    if (WITHOUT_REPLY.has(opcode)) return;
    this.#errors++;
    this.#send(errorReply(message, refusal.errno));
  }

  #send(reply: Buffer): void {
    if (!this.#ended) this.#hooks.reply(reply);
  }

  #count(opcode: number): void {
    if (opcode < OPCODE_LIMIT) this.#counts[opcode] = (this.#counts[opcode] ?? 0) + 1;
    else this.#unknown++;
  }
}

/** Counted from the start: a status keeps its size. */
const KNOWN_OPCODES: ReadonlySet<number> = new Set(Object.values(OPCODES));

/** How long an interrupt waits for its request. Without any, kernel and server would toss it to and fro. */
const INTERRUPT_PATIENCE_MS = 10;

/** Plain refusals are everyday answers; whatever else goes wrong is worth a line in the log. */
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
