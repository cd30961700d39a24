import type { OpcodeName } from '../../../../src/fuse/protocol/opcodes.ts';
import { message, nameBody, readBody } from '../message.ts';
import type { PublishedTree } from './publish-filesystem.ts';

const OPCODES: readonly OpcodeName[] = [
  'LOOKUP',
  'LOOKUP',
  'LOOKUP',
  'GETATTR',
  'STATX',
  'ACCESS',
  'OPEN',
  'RELEASE',
  'OPENDIR',
  'RELEASEDIR',
  'READDIR',
  'READDIRPLUS',
  'STATFS',
  'GETXATTR',
  'LISTXATTR',
  'FORGET',
  'BATCH_FORGET',
];
const ODD_NAMES = ['', '.', '..', 'a', 'x'.repeat(255), 'x'.repeat(256), 'wei\u00dfe', '\u{1f4be}'];
const XATTRS = ['user.mlfs.dtype', 'user.', 'user', 'security.capability', 'system.posix_acl_access', ''];
/** open(2)'s: for reading and others, O_TRUNC, O_DIRECTORY, all. */
const OPEN_FLAGS = [0, 0o100000, 0o40000, 1, 2, 3, 0o1000, 0o200000, 0xffff_ffff];
const ODD_NUMBERS = [
  0n,
  1n,
  2n,
  3n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Requests as a kernel sends them, and others that no kernel sends: of a seed always the same. */
export class RandomRequests {
  readonly #published: PublishedTree;
  #state: number;
  #unique = 2n;

  constructor(seed: number, published: PublishedTree) {
    this.#state = seed >>> 0;
    this.#published = published;
  }

  next(): Buffer {
    const opcode = this.#one(OPCODES);
    this.#unique += 2n;
    const known = this.#one(this.#published.names);
    const body = opcode === 'LOOKUP' && this.#chance(2) ? nameBody(known.name) : this.#body(opcode);
    const made = message(opcode, {
      unique: this.#unique,
      nodeid: opcode === 'LOOKUP' && !this.#chance(3) ? known.folder : this.#nodeid(opcode),
      uid: this.#one([0, 7, 1000]),
      gid: this.#one([0, 8, 1000]),
      body,
    });
    return this.#chance(20) ? this.#broken(made) : made;
  }

  #nodeid(opcode: OpcodeName): number {
    const { rows, folders } = this.#published;
    if (this.#chance(15))
      return this.#one([0, 1, 2 ** 28 - 1, 2 ** 28, 2 ** 31, 3 * 2 ** 30 + 1, Math.max(...rows) + 1]);
    const named = opcode === 'LOOKUP' || opcode === 'READDIR' || opcode === 'READDIRPLUS';
    return this.#one(named ? folders : rows);
  }

  #body(opcode: OpcodeName): Buffer {
    switch (opcode) {
      case 'LOOKUP':
        return nameBody(this.#chance(8) ? this.#oddName() : this.#one(this.#published.names).name);
      case 'ACCESS':
        return words(this.#chance(8) ? this.#below(2 ** 32) : this.#below(8), 0);
      case 'OPEN':
      case 'OPENDIR':
        return words(this.#one(OPEN_FLAGS), 0);
      case 'RELEASE':
      case 'RELEASEDIR':
        return longs(this.#chance(4) ? this.#one(ODD_NUMBERS) : 0n, 0n, 0n);
      case 'READDIR':
      case 'READDIRPLUS':
        return this.#listing();
      case 'GETXATTR':
        return Buffer.concat([
          words(this.#below(64), 0),
          nameBody(this.#chance(8) ? this.#oddName() : this.#one(XATTRS)),
        ]);
      case 'LISTXATTR':
        return words(this.#chance(2) ? 0 : this.#below(2 ** 32), 0);
      case 'FORGET':
        return longs(this.#chance(8) ? this.#one(ODD_NUMBERS) : BigInt(1 + this.#below(3)));
      case 'BATCH_FORGET': {
        const count = this.#below(5);
        const ones = Array.from({ length: count * 2 }, (_, at) =>
          BigInt(at % 2 === 0 ? this.#nodeid('FORGET') : 1 + this.#below(3)),
        );
        return Buffer.concat([words(this.#chance(8) ? this.#below(2 ** 32) : count, 0), longs(...ones)]);
      }
      default:
        return Buffer.alloc(16);
    }
  }

  #listing(): Buffer {
    const offset = this.#chance(10) ? this.#one(ODD_NUMBERS) : BigInt(this.#below(12));
    const size = this.#chance(10)
      ? this.#one([0, 1, 24, 152, 2 ** 20, 2 ** 20 + 1, 2 ** 32 - 1])
      : this.#below(3000);
    return readBody(offset, size, this.#chance(20) ? this.#one(ODD_NUMBERS) : 0n);
  }

  #oddName(): Buffer {
    if (this.#chance(2)) return Buffer.from(this.#one(ODD_NAMES));
    return Buffer.from(Array.from({ length: this.#below(12) }, () => 1 + this.#below(255)));
  }

  /** Cut, longer, or with a byte of another value, also in the header; never shorter than that, for a kernel's messages have one. */
  #broken(whole: Buffer): Buffer {
    const choice = this.#below(3);
    if (choice === 0) return whole.subarray(0, 40 + this.#below(Math.max(1, whole.length - 40)));
    if (choice === 1) return Buffer.concat([whole, Buffer.alloc(1 + this.#below(9), this.#below(256))]);
    // A message that is cut, with the length that it has.
    const cut = Buffer.from(whole.subarray(0, 40 + this.#below(Math.max(1, whole.length - 40))));
    cut.writeUInt32LE(cut.length, 0);
    return cut;
  }

  #one<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)] as T;
  }

  /** Once in `times`. */
  #chance(times: number): boolean {
    return this.#below(times) === 0;
  }

  /** mulberry32 */
  #below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }
}

function words(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  for (const [index, one] of numbers.entries()) bytes.writeUInt32LE(one, index * 4);
  return bytes;
}

function longs(...numbers: bigint[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 8);
  for (const [index, one] of numbers.entries()) bytes.writeBigUInt64LE(one, index * 8);
  return bytes;
}
