/** What a mount was asked and what it answered, for `--debug`. */
import { ERRNO } from './protocol/errno.ts';
import { OPCODES, opcodeName } from './protocol/opcodes.ts';
import { BODY, NAME_MAX } from './protocol/request.ts';

export interface TracedRequest {
  readonly opcode: string;
  /** The inode that was asked; of a transport that speaks of paths, `path` instead. */
  readonly nodeid?: number;
  readonly path?: string;
  /** The names in the request: two of a rename. */
  readonly name?: string;
  readonly newName?: string;
  /** Of reads and writes. */
  readonly offset?: number;
  readonly size?: number;
  readonly pid?: number;
  /** `OK`, or why it was refused. */
  readonly errno: string;
  readonly microseconds: number;
}

export type Trace = (request: TracedRequest) => void;

/** Where the names begin in the body of a request. */
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
/** Offset and size stand at 8 and 16 of fuse_read_in and fuse_write_in. */
const PLACED: ReadonlySet<number> = new Set([
  OPCODES.READ,
  OPCODES.WRITE,
  OPCODES.READDIR,
  OPCODES.READDIRPLUS,
]);

const ERRNO_NAMES = new Map(Object.entries(ERRNO).map(([name, number]) => [number, name]));

/** `errno`: 0 or the positive number. `beganMs`: of `performance.now()`. Says what there is of a message that is broken. */
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

/** The first two NUL-terminated names from an offset on, bytes that are not UTF-8 as U+FFFD. */
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
