/**
 * What the users of a mount take from the server's process, and give back: descriptors, open files, memory. Each supply is limited, so that
 * the server keeps what it needs, and is shared: a user gets at most half of what the others leave. So a user who takes everything that is
 * allowed leaves the same amount to the next, and a user who comes later always finds something.
 *
 * A request beyond that is refused: ENFILE for an open, ENOSPC for a write or a creation.
 */
import { readFileSync } from 'node:fs';
import { type ErrnoName, errno } from '../errors.ts';

/**
 * Descriptors that the server reserves for itself: folders and texts of activations, gradients, the journal, the metrics' clients, calls in
 * progress.
 */
const OWN_DESCRIPTORS = 512;
/** For a process whose limit cannot be read: Linux's default. */
const USUAL_DESCRIPTOR_LIMIT = 1024;
/** Files that are open: a few hundred bytes each. */
const MOST_OPEN_FILES = 128 * 1024;
/** Memory of open files: documents as they were at the open, commands and their answers. */
const MOST_OPEN_BYTES = 512 * 1024 * 1024;
/** Existing scratch files and folders: about 2 KiB each. */
const MOST_SCRATCH_NAMES = 256 * 1024;
/** Waiting requests; a write with its bytes. */
const MOST_PENDING_BYTES = 512 * 1024 * 1024;

const MINUTE_MS = 60_000;

export class Supply {
  readonly #what: string;
  readonly #total: number;
  readonly #log: (message: string) => void;
  readonly #byUser = new Map<number, number>();
  /** When the log last reported a user at the limit. */
  readonly #said = new Map<number, number>();
  #taken = 0;

  /** `what` is used in messages: `open files`. */
  constructor(what: string, total: number, log: (message: string) => void = () => undefined) {
    this.#what = what;
    this.#total = total;
    this.#log = log;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Throws `refusal` if the user would then have more than half of what the others leave. */
  take(uid: number, amount: number, refusal: ErrnoName): void {
    const has = this.#byUser.get(uid) ?? 0;
    const most = Math.floor((this.#total - (this.#taken - has)) / 2);
    if (has + amount > most) throw this.#refused(uid, most, refusal);
    this.#byUser.set(uid, has + amount);
    this.#taken += amount;
  }

  /** Gives back what was taken. */
  give(uid: number, amount: number): void {
    const left = (this.#byUser.get(uid) ?? 0) - amount;
    if (left > 0) this.#byUser.set(uid, left);
    else this.#byUser.delete(uid);
    this.#taken -= amount;
  }

  #refused(uid: number, most: number, refusal: ErrnoName) {
    const message = `user ${uid} may have at most ${most} of the server's ${this.#what} now: refused (${refusal})`;
    const nowMs = Date.now();
    if (nowMs - (this.#said.get(uid) ?? Number.NEGATIVE_INFINITY) >= MINUTE_MS) {
      this.#said.set(uid, nowMs);
      this.#log(message);
    }
    return errno(refusal, message);
  }
}

export interface Supplies {
  readonly descriptors: Supply;
  readonly openFiles: Supply;
  readonly openBytes: Supply;
  readonly scratchNames: Supply;
  readonly pendingBytes: Supply;
}

/** `descriptorLimit` is the process's RLIMIT_NOFILE. */
export function makeSupplies(
  log?: (message: string) => void,
  descriptorLimit: number = ownDescriptorLimit(),
): Supplies {
  const forUsers = Math.max(descriptorLimit - OWN_DESCRIPTORS, Math.floor(descriptorLimit / 4));
  return {
    descriptors: new Supply('descriptors', forUsers, log),
    openFiles: new Supply('open files', MOST_OPEN_FILES, log),
    openBytes: new Supply('bytes of open documents', MOST_OPEN_BYTES, log),
    scratchNames: new Supply('scratch files and folders', MOST_SCRATCH_NAMES, log),
    pendingBytes: new Supply('bytes of requests that wait', MOST_PENDING_BYTES, log),
  };
}

function ownDescriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    if (soft === 'unlimited') return 2 ** 20;
    return Number(soft ?? USUAL_DESCRIPTOR_LIMIT);
  } catch {
    return USUAL_DESCRIPTOR_LIMIT;
  }
}

/** Throws ENFILE. */
export function claimOpenFile(
  { openFiles, openBytes }: Pick<Supplies, 'openFiles' | 'openBytes'>,
  uid: number,
  bytes: number,
): Claim {
  const claim = new Claim(uid);
  claim.take(openFiles, 1, 'ENFILE');
  try {
    if (bytes > 0) claim.take(openBytes, bytes, 'ENFILE');
  } catch (refusal) {
    claim.giveBack();
    throw refusal;
  }
  return claim;
}

/** What one open file has taken; given back in one step. */
export class Claim {
  readonly uid: number;
  readonly #taken = new Map<Supply, number>();

  constructor(uid: number) {
    this.uid = uid;
  }

  /** Throws `refusal`. */
  take(supply: Supply, amount: number, refusal: ErrnoName): void {
    supply.take(this.uid, amount, refusal);
    this.#taken.set(supply, (this.#taken.get(supply) ?? 0) + amount);
  }

  giveBack(): void {
    for (const [supply, amount] of this.#taken) supply.give(this.uid, amount);
    this.#taken.clear();
  }
}
