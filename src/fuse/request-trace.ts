/** The requests of a mount and their results, for `--debug`. */
import { ERRNO } from './protocol/errno.ts';
import { OPCODES, opcodeName } from './protocol/opcodes.ts';
import { BODY, NAME_MAX } from './protocol/request.ts';

export interface TracedRequest {
  readonly opcode: string;
  /** The inode of the request. A transport that works with paths gives `path` instead. */
  readonly nodeid?: number;
  readonly path?: string;
  /** The names in the request: a rename has two. */
  readonly name?: string;
  readonly newName?: string;
  /** For reads and writes. */
  readonly offset?: number;
  readonly size?: number;
  readonly pid?: number;
  /** `OK`, or the errno. */
  readonly errno: string;
  readonly microseconds: number;
}

export type Trace = (request: TracedRequest) => void;

/** Offset of the names in the body of a request, by opcode. */
const NAMES_AT = new Map<number, number>([
  [OPCODES.LOOKUP, 0],
  [OPCODES.UNLINK, 0],
  [OPCODES.RMDIR, 0],
  [OPCODES.SYMLINK, 0],
  [OPCODES.REMOVEXATTR, 0],
  [OPCODES.MKDIR, 8],
  [OPCODES.LINK, 8],
  [OPCODES.GETXATTR, 8],
  [OPCODES.RENAME, 8],
  [OPCODES.MKNOD, 16],
  [OPCODES.CREATE, 16],
  [OPCODES.RENAME2, 16],
]);
const RENAMES: ReadonlySet<number> = new Set([OPCODES.RENAME, OPCODES.RENAME2]);
/** Offset and size are at 8 and 16 of fuse_read_in and fuse_write_in. */
const PLACED: ReadonlySet<number> = new Set([
  OPCODES.READ,
  OPCODES.WRITE,
  OPCODES.READDIR,
  OPCODES.READDIRPLUS,
]);

const ERRNO_NAMES = new Map(Object.entries(ERRNO).map(([name, number]) => [number, name]));

/** `errno`: 0 or the positive number. `beganMs`: from `performance.now()`. For a malformed message, describes the part that can be read. */
export function traced(message: Buffer, errno: number, beganMs: number): TracedRequest {
  const opcode = message.readUInt32LE(4);
  const namesAt = NAMES_AT.get(opcode);
  const [name, newName] = namesAt === undefined ? [] : names(message, BODY + namesAt);
  return {
    opcode: opcodeName(opcode),
    nodeid: Number(message.readBigUInt64LE(16)),
    ...(name === undefined ? {} : { name }),
    ...(newName === undefined || !RENAMES.has(opcode) ? {} : { newName }),
    ...(PLACED.has(opcode) && message.length >= BODY + 20
      ? { offset: Number(message.readBigUInt64LE(BODY + 8)), size: message.readUInt32LE(BODY + 16) }
      : {}),
    pid: message.readUInt32LE(32),
    errno: errnoName(errno),
    microseconds: microsecondsSince(beganMs),
  };
}

export function errnoName(errno: number): string {
  return errno === 0 ? 'OK' : (ERRNO_NAMES.get(errno) ?? String(errno));
}

export function microsecondsSince(beganMs: number): number {
  return Math.round((performance.now() - beganMs) * 1000);
}

/** The first two NUL-terminated names from an offset on; bytes that are not UTF-8 become U+FFFD. */
function names(message: Buffer, from: number): string[] {
  const found: string[] = [];
  for (let at = from; at < message.length && found.length < 2; ) {
    const end = message.indexOf(0, at);
    const stop = Math.min(end < 0 ? message.length : end, at + NAME_MAX);
    found.push(message.toString('utf8', at, stop));
    at = end < 0 ? message.length : end + 1;
  }
  return found;
}
