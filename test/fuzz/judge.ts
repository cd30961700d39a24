/** What a parser may do with a mutant: take it, or refuse it with an error that the user can read. Everything else is a fault. */
import { readFileSync, writeFileSync } from 'node:fs';
import { MlfsError } from '../../src/errors.ts';

/** Processor time of one step with one input: opening, rendering one document. */
export const CPU_BOUND_MS = 2000;
/** Resident memory of a process that opens one input, its own memory included. */
export const MEMORY_BOUND_MB = 512;
/** Of a message, in bytes. Longer ones flood a terminal and a log. */
const MESSAGE_BOUND = 2000;
/** What a terminal acts on, what reverses or hides text, and what ends lines; docs/SECURITY.md. */
export const DECEPTIVE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** `opened`: everything that was asked for was there. The code is the refusal's. */
export type Outcome = { readonly kind: 'opened' } | { readonly kind: 'refused'; readonly code: string };

export const OPENED: Outcome = { kind: 'opened' };

/** A defect of ours. The message is what is reported. */
export class Fault extends Error {
  override readonly name = 'Fault';
}

/** Throws a Fault unless `cause` is a proper refusal. `path`: the file that the message must be about. */
export function refusal(cause: unknown, path?: string): Outcome {
  if (cause instanceof Fault) throw cause;
  if (!(cause instanceof MlfsError)) throw new Fault(`untyped: ${describe(cause)}`);
  const { code, message } = cause;
  // What opening makes of an untyped error.
  if (code === 'ERR_MLFS_INTERNAL') throw new Fault(`untyped: ${describe(cause.cause ?? cause)}`);
  if (!code.startsWith('ERR_MLFS_')) throw new Fault(`code ${code}`);
  if (Buffer.byteLength(message) > MESSAGE_BOUND) {
    throw new Fault(`${code}: the message has ${Buffer.byteLength(message)} bytes: ${message.slice(0, 200)}`);
  }
  const shown = path === undefined ? message : message.replaceAll(path, '');
  if (DECEPTIVE.test(`${shown}${cause.advice ?? ''}`)) {
    throw new Fault(`${code}: the message holds control characters: ${JSON.stringify(shown.slice(0, 300))}`);
  }
  if (path !== undefined && cause.path === undefined) throw new Fault(`${code}: without a path: ${message}`);
  return { kind: 'refused', code };
}

function describe(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
}

/** Throws a Fault with `what` unless it is so. */
export function expect(fact: boolean, what: () => string): asserts fact {
  if (!fact) throw new Fault(what());
}

/** The most processor time that a step took, in milliseconds. */
export class Stopwatch {
  slowestMs = 0;
  slowestStep = '';

  /** Runs a step. Throws a Fault when it takes more processor time than it may. */
  async run<T>(step: string, work: () => T | Promise<T>): Promise<T> {
    const before = process.cpuUsage();
    try {
      return await work();
    } finally {
      const { user, system } = process.cpuUsage(before);
      const spentMs = (user + system) / 1000;
      if (spentMs > this.slowestMs) {
        this.slowestMs = spentMs;
        this.slowestStep = step;
      }
    }
  }
}

/** Forgets the most memory that this process had so far. */
export function resetPeakMemory(): void {
  writeFileSync('/proc/self/clear_refs', '5');
}

/** The most memory that this process had since, in megabytes. */
export function peakMemoryMb(): number {
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Math.round(Number(line?.[1] ?? 0) / 1024);
}
