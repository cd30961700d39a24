import { OPCODES, type OpcodeName } from '../../../src/fuse/protocol/opcodes.ts';
import { OFFSET, SIZE } from './protocol/linux-layout.ts';

export interface MessageFields {
  readonly nodeid?: number;
  readonly unique?: bigint;
  readonly uid?: number;
  readonly gid?: number;
  readonly body?: Uint8Array;
}

/** A request message as the kernel would send it, laid out by the header's own offsets. */
export function message(opcode: OpcodeName | number, fields: MessageFields = {}): Buffer {
  const body = fields.body ?? new Uint8Array(0);
  const bytes = Buffer.alloc(SIZE.fuse_in_header + body.byteLength);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(typeof opcode === 'number' ? opcode : OPCODES[opcode], OFFSET['fuse_in_header.opcode']);
  bytes.writeBigUInt64LE(fields.unique ?? 2n, OFFSET['fuse_in_header.unique']);
  bytes.writeBigUInt64LE(BigInt(fields.nodeid ?? 1), OFFSET['fuse_in_header.nodeid']);
  bytes.writeUInt32LE(fields.uid ?? 1000, OFFSET['fuse_in_header.uid']);
  bytes.writeUInt32LE(fields.gid ?? 1000, OFFSET['fuse_in_header.gid']);
  bytes.writeUInt32LE(4242, OFFSET['fuse_in_header.pid']);
  bytes.set(body, SIZE.fuse_in_header);
  return bytes;
}

export function nameBody(name: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(name as string), Buffer.of(0)]);
}

export function readBody(offset: bigint, size: number, handle = 0n): Buffer {
  const body = Buffer.alloc(SIZE.fuse_read_in);
  body.writeBigUInt64LE(handle, 0);
  body.writeBigUInt64LE(offset, OFFSET['fuse_read_in.offset']);
  body.writeUInt32LE(size, OFFSET['fuse_read_in.size']);
  return body;
}

export function openBody(flags: number): Buffer {
  const body = Buffer.alloc(SIZE.fuse_open_in);
  body.writeUInt32LE(flags, 0);
  return body;
}

/** INIT of Linux 6.18 unless told otherwise: everything it has to offer. */
export function initBody(minor = 45, major = 7, flags = 0xffff_ffff, flags2 = 0xffff_ffff): Buffer {
  const body = Buffer.alloc(SIZE.fuse_init_in);
  body.writeUInt32LE(major, 0);
  body.writeUInt32LE(minor, 4);
  body.writeUInt32LE(131072, OFFSET['fuse_init_in.max_readahead']);
  body.writeUInt32LE(flags, OFFSET['fuse_init_in.flags']);
  body.writeUInt32LE(flags2, OFFSET['fuse_init_in.flags2']);
  return body;
}

/** The positive errno of a reply, 0 for success. */
export function errnoOf(reply: Buffer): number {
  return Math.abs(reply.readInt32LE(OFFSET['fuse_out_header.error']));
}

export function bodyOf(reply: Buffer): Buffer {
  return reply.subarray(SIZE.fuse_out_header);
}
