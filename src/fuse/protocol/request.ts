import { errno } from '../../errors.ts';
import type { RequestContext } from '../filesystem.ts';
import { readU64 } from './fields.ts';
import { decodeName } from './name-bytes.ts';
import { opcodeName } from './opcodes.ts';

/** sizeof(struct fuse_in_header): where a request's body starts. */
export const BODY = 40;

/**
 * One request of the kernel, and who made it. The message is kept unchanged: decoders read the body in place, and the reply copies the 8
 * bytes of `unique`, which have no meaning here.
 */
export class Request implements RequestContext {
  readonly message: Buffer;
  readonly opcode: number;
  readonly nodeid: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  #abort: AbortController | undefined;

  /** Throws EINVAL if the message is not as long as its header says. */
  constructor(message: Buffer) {
    //  0  len           u32
    //  4  opcode        u32
    //  8  unique        u64
    // 16  nodeid        u64
    // 24  uid           u32
    // 28  gid           u32
    // 32  pid           u32
    // 36  total_extlen  u16, extensions at the end of the message in units of 8 bytes (7.38)
    this.message = message;
    this.opcode = message.readUInt32LE(4);
    this.uid = message.readUInt32LE(24);
    this.gid = message.readUInt32LE(28);
    this.pid = message.readUInt32LE(32);
    const length = message.readUInt32LE(0);
    if (length !== message.length) {
      throw errno('EINVAL', `the message has ${message.length} bytes, its header says ${length}`);
    }
    this.nodeid = readU64(message, 16, 'fuse_in_header.nodeid');
  }

  /** Identifies the request among those that the kernel waits for. */
  get unique(): bigint {
    return this.message.readBigUInt64LE(8);
  }

  /** Made at the first use: nearly all requests are answered without it. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  interrupt(): void {
    this.#abort ??= new AbortController();
    this.#abort.abort(errno('EINTR', 'interrupted'));
  }

  /** Throws EINVAL if the body is shorter than its struct. */
  require(structBytes: number, structName: string): void {
    if (this.message.length < BODY + structBytes) {
      throw errno(
        'EINVAL',
        `${opcodeName(this.opcode)}: ${structName} has ${structBytes} bytes, the message has room for ` +
          `${this.message.length - BODY}`,
      );
    }
  }

  /** Reads the NUL-terminated name at `offset` of the message, whatever its bytes. */
  name(offset: number): string {
    const end = this.message.indexOf(0, offset);
    if (end < 0) {
      throw errno('EINVAL', `${opcodeName(this.opcode)}: the name at byte ${offset} has no end`);
    }
    if (end - offset > NAME_MAX) throw errno('ENAMETOOLONG');
    return decodeName(this.message.subarray(offset, end));
  }
}

/** Longest name in bytes. */
export const NAME_MAX = 255;
