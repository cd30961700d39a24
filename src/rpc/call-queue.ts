import { errno } from '../errors.ts';
import type { Call } from './call.ts';
import { Waiting } from './waiting.ts';

/** Maximum number of waiting calls; more are refused. */
export const MOST_QUEUED = 256;
/** After so many workers left a call without an answer, it fails. */
const MOST_ATTEMPTS = 3;

/** A call that a worker has taken. */
export interface Lease {
  readonly call: Call;
  readonly version: number;
}

/**
 * Calls that wait for a worker, and workers that wait for a call. A worker takes a call by a lease and returns it by answering or by
 * leaving. A call that a worker left is the next one again, a few times.
 */
export class CallQueue {
  readonly #queued: Call[] = [];
  readonly #leases = new Set<Lease>();
  readonly #waiting = new Waiting<Call>();

  get queued(): number {
    return this.#queued.length;
  }

  get running(): number {
    return this.#leases.size;
  }

  /** The input is complete. Throws EAGAIN when too many calls wait. */
  submit(call: Call): void {
    if (this.#queued.length >= MOST_QUEUED) throw errno('EAGAIN', `${MOST_QUEUED} calls are waiting already`);
    this.#put(call, false);
  }

  /** The next call; undefined when none arrives in time. Throws the signal's reason. */
  async take(withinMs: number, signal: AbortSignal): Promise<Lease | undefined> {
    const call = this.#queued.shift() ?? (await this.#waiting.wait(withinMs, signal));
    if (call === undefined) return undefined;
    call.state = 'running';
    const lease = { call, version: call.version };
    this.#leases.add(lease);
    return lease;
  }

  /** The worker has answered the call, or reports why it cannot. */
  answer(call: Call, error?: string): void {
    const lease = [...this.#leases].find((one) => one.call === call && one.version === call.version);
    if (lease === undefined) throw errno('EINVAL', `${call.id}: no worker has taken the call`);
    this.#leases.delete(lease);
    call.settle(error);
  }

  /** The worker left the call. */
  leave(lease: Lease): void {
    if (!this.#leases.delete(lease)) return;
    const { call, version } = lease;
    if (call.state !== 'running' || call.version !== version) return;
    call.abandoned++;
    if (call.abandoned < MOST_ATTEMPTS) this.#put(call, true);
    else call.settle(`${MOST_ATTEMPTS} workers took the call and left without an answer`);
  }

  /** The call was withdrawn. */
  withdraw(call: Call): void {
    const index = this.#queued.indexOf(call);
    if (index !== -1) this.#queued.splice(index, 1);
  }

  #put(call: Call, first: boolean): void {
    call.state = 'queued';
    if (this.#waiting.give(call)) return;
    if (first) this.#queued.unshift(call);
    else this.#queued.push(call);
  }
}
