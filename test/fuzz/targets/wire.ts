/** Messages of the kernel's protocol, with bodies that are nearly right: each gets one well-formed answer and never more than an errno. */
import { setImmediate } from 'node:timers/promises';
import { Dispatcher } from '../../../src/fuse/dispatcher.ts';
import type { Filesystem } from '../../../src/fuse/filesystem.ts';
import { OPCODE_LIMIT, OPCODES, type OpcodeName, opcodeName } from '../../../src/fuse/protocol/opcodes.ts';
import { desk } from '../../unit/fuse/desk.ts';
import { initBody, message } from '../../unit/fuse/message.ts';
import { writableTree } from '../../unit/fuse/writable-tree.ts';
import { expect, OPENED, type Outcome } from '../judge.ts';
import { mutateBytes, mutateText, numberBytes, TEXTS } from '../mutate/bytes.ts';
import type { Random } from '../random.ts';
import type { Target } from '../target.ts';

export const wireTarget: Target = {
  name: 'wire',
  weight: 8,
  make(random) {
    const writable = random.once(2);
    const requests = Array.from({ length: random.between(1, 30) }, (_, index) => request(random, index));
    const bytes = Buffer.concat(requests.map((one) => one.bytes));
    return {
      label: requests.map((one) => opcodeName(one.opcode)).join(' '),
      bytes,
      drive: (scene) => scene.clock.run('wire', () => drive(requests, writable)),
    };
  },
};

interface Request {
  readonly opcode: number;
  readonly unique: bigint;
  readonly bytes: Buffer;
}

/** Fixed part of each body in bytes, and how many names follow it (linux/fuse.h). */
const BODIES: Readonly<Partial<Record<OpcodeName, readonly [bytes: number, names: number]>>> = {
  LOOKUP: [0, 1],
  FORGET: [8, 0],
  GETATTR: [16, 0],
  SETATTR: [88, 0],
  SYMLINK: [0, 2],
  MKNOD: [16, 1],
  MKDIR: [8, 1],
  UNLINK: [0, 1],
  RMDIR: [0, 1],
  RENAME: [8, 2],
  RENAME2: [16, 2],
  LINK: [8, 1],
  OPEN: [8, 0],
  READ: [40, 0],
  WRITE: [40, 1],
  STATFS: [0, 0],
  RELEASE: [24, 0],
  FSYNC: [16, 0],
  SETXATTR: [8, 2],
  GETXATTR: [8, 1],
  LISTXATTR: [8, 0],
  REMOVEXATTR: [0, 1],
  FLUSH: [24, 0],
  INIT: [64, 0],
  OPENDIR: [8, 0],
  READDIR: [40, 0],
  READDIRPLUS: [40, 0],
  RELEASEDIR: [24, 0],
  FSYNCDIR: [16, 0],
  GETLK: [48, 0],
  ACCESS: [8, 0],
  CREATE: [16, 1],
  INTERRUPT: [8, 0],
  IOCTL: [32, 0],
  POLL: [24, 0],
  BATCH_FORGET: [24, 0],
  FALLOCATE: [32, 0],
  LSEEK: [24, 0],
  COPY_FILE_RANGE: [56, 0],
  STATX: [24, 0],
};

const NAMES = [
  'room',
  'model',
  'weight.bin',
  'half.bin',
  'gathered.bin',
  'weight.grad',
  'status',
  'log',
  'new',
  'x',
  'user.mlfs.dtype',
  ...TEXTS,
];

function request(random: Random, index: number): Request {
  const known = random.pick(Object.keys(BODIES)) as OpcodeName;
  const opcode = random.once(15) ? random.below(OPCODE_LIMIT + 3) : OPCODES[known];
  const [length, names] = BODIES[known] ?? [0, 0];
  let body = fixedPart(random, length);
  for (let left = names; left > 0; left--) {
    const name = random.once(4) ? mutateText(random, 'room') : random.pick(NAMES);
    body = Buffer.concat([body, Buffer.from(name), Buffer.of(0)]);
  }
  if (random.once(6)) body = mutateBytes(random, body);
  if (random.once(6)) body = body.subarray(0, random.below(body.length + 1));
  const unique = BigInt(2 * index + 2);
  const nodeid = random.once(8)
    ? random.pick([0, -1, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER])
    : random.below(12);
  const bytes = message(opcode, {
    nodeid: Math.max(0, nodeid),
    unique,
    uid: random.pick([0, 7, 1000]),
    gid: random.pick([0, 8, 1000]),
    body,
  });
  if (random.once(12)) bytes.writeUInt32LE(random.next(), 0);
  return { opcode, unique, bytes };
}

/** Fields of 4 and 8 bytes: mostly small numbers, sometimes edges. */
function fixedPart(random: Random, length: number): Buffer {
  const body = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) {
    if (random.once(5)) numberBytes(random, random.pick([4, 8])).copy(body, at);
    else if (random.once(2))
      body.writeUInt32LE(random.pick([1, 2, 3, 8, 100, 4096, 0o100644, 0x8001, 0x241]), at);
  }
  return body;
}

const SILENT: ReadonlySet<number> = new Set([
  OPCODES.FORGET,
  OPCODES.BATCH_FORGET,
  OPCODES.NOTIFY_REPLY,
  OPCODES.INTERRUPT,
]);
const REPLY_HEADER_BYTES = 16;

async function drive(requests: readonly Request[], writable: boolean): Promise<Outcome> {
  const scene = writable ? writableTree() : undefined;
  const { dispatcher, replies, logLines } =
    scene === undefined ? desk() : desk({ filesystem: scene.filesystem as Filesystem });
  expect(dispatcher instanceof Dispatcher, () => 'no dispatcher');
  dispatcher.handle(message('INIT', { unique: 1n, body: initBody() }));
  for (const { bytes } of requests) dispatcher.handle(Buffer.from(bytes));
  for (let turn = 0; turn < 200 && dispatcher.counters().requests_pending !== 0; turn++) await setImmediate();
  expect(dispatcher.counters().requests_pending === 0, () => 'a request is still not answered');
  dispatcher.end();
  for (const reply of replies) {
    const unique = reply.readBigUInt64LE(8);
    expect(reply.readUInt32LE(0) === reply.length, () => `reply ${unique}: its length is wrong`);
    const error = reply.readInt32LE(4);
    expect(error <= 0 && error > -512, () => `reply ${unique}: error ${error}`);
    expect(error === 0 || reply.length === REPLY_HEADER_BYTES, () => `reply ${unique}: a refusal has a body`);
  }
  for (const { opcode, unique } of requests) {
    const count = replies.filter((reply) => reply.readBigUInt64LE(8) === unique).length;
    const due = SILENT.has(opcode) ? count <= 1 : count === 1;
    expect(due, () => `${opcodeName(opcode)} ${unique}: ${count} replies`);
  }
  // A stack is written only for what is no MlfsError.
  const defect = [...logLines, ...(scene?.log ?? [])].find((line) => /\n\s+at /.test(line));
  expect(defect === undefined, () => `untyped: ${defect}`);
  const refused = replies.every((reply) => reply.readInt32LE(4) !== 0);
  return refused ? { kind: 'refused', code: 'errno' } : OPENED;
}
