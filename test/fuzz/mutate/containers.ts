/** Mutations of the containers that are no archives: torch's legacy files, tars, safetensors, and bare pickles. */
import type { Random } from '../random.ts';
import { edge, mutateBytes, mutateText, numberBytes, splice } from './bytes.ts';
import { mutateJson } from './json.ts';
import { mutatePickle } from './pickle.ts';
import { takeApart } from './pickle-opcodes.ts';

/** A u64 length, the header, the data. */
export function mutateSafetensors(random: Random, file: Buffer): Buffer {
  const length = Number(file.readBigUInt64LE(0));
  if (random.once(10) || 8 + length > file.length) return mutateBytes(random, file);
  let header = file.subarray(8, 8 + length);
  let body = file.subarray(8 + length);
  if (!random.once(8)) header = mutateJson(random, header);
  if (random.once(6)) header = Buffer.concat([header, Buffer.alloc(random.pick([1, 7, 8, 4096]), ' ')]);
  if (random.once(6))
    body = random.pick([body.subarray(1), Buffer.concat([body, Buffer.alloc(4)]), mutateBytes(random, body)]);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(random.once(12) ? BigInt.asUintN(64, edge(random)) : BigInt(header.length));
  return Buffer.concat([prefix, header, body]);
}

const LEGACY_PICKLES = 5;

/** Magic number, protocol, system, object, keys: then for each key a count and the bytes. */
export function mutateLegacy(random: Random, file: Buffer): Buffer {
  if (random.once(12)) return mutateBytes(random, file);
  const parts: Buffer[] = [];
  let rest = file;
  while (parts.length < LEGACY_PICKLES) {
    const after = takeApart(rest).rest;
    parts.push(rest.subarray(0, rest.length - after.length));
    rest = after;
    if (rest.length === 0) break;
  }
  if (random.once(6)) rest = otherStorages(random, rest);
  else {
    const at = random.once(4) ? random.below(parts.length) : Math.min(3, parts.length - 1);
    parts[at] = mutatePickle(random, parts[at] ?? Buffer.alloc(0));
  }
  if (random.once(20)) parts.splice(random.below(parts.length), random.below(2), random.pick(parts));
  return Buffer.concat([...parts, rest]);
}

function otherStorages(random: Random, storages: Buffer): Buffer {
  const at = random.once(2) ? 0 : random.below(storages.length + 1);
  return random.pick([
    splice(storages, at, 8, numberBytes(random, 8)),
    storages.subarray(0, at),
    Buffer.concat([storages, storages.subarray(at)]),
    mutateBytes(random, storages),
  ]);
}

const BLOCK = 512;

interface Member {
  readonly header: Buffer;
  readonly content: Buffer;
}

/** Members of a tar, their headers' checksums right but for what was made wrong. */
export function mutateTar(random: Random, file: Buffer): Buffer {
  const members = readMembers(file);
  if (members.length === 0 || random.once(12)) return mutateBytes(random, file);
  const at = random.below(members.length);
  const member = members[at] as Member;
  const { header, content } = member;
  switch (random.below(6)) {
    case 0:
      return writeMembers(members.toSpliced(at, 1));
    case 1:
      return writeMembers(members.toSpliced(random.below(members.length), 0, member));
    case 2:
      return writeMembers(members.with(at, { header: otherField(random, header), content }));
    case 3:
      return writeMembers(
        members.with(at, { header, content: content.subarray(0, random.below(content.length + 1)) }),
      );
    default:
      return writeMembers(members.with(at, { header, content: mutatePickle(random, content) }), true);
  }
}

function readMembers(file: Buffer): Member[] {
  const members: Member[] = [];
  for (let at = 0; at + BLOCK <= file.length && file[at] !== 0; ) {
    const header = Buffer.from(file.subarray(at, at + BLOCK));
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    if (!(size >= 0)) break;
    members.push({ header, content: file.subarray(at + BLOCK, at + BLOCK + size) });
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return members;
}

/** `sizes`: the headers say how long the contents are now. */
function writeMembers(members: readonly Member[], sizes = false): Buffer {
  const parts = members.flatMap(({ header, content }) => {
    const block = Buffer.from(header);
    if (sizes) block.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
    block.write('        ', 148, 'latin1');
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return [block, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** Name, mode, size, type, linked name, magic, prefix (POSIX ustar). */
const TAR_FIELDS = [
  [0, 100],
  [100, 8],
  [124, 12],
  [156, 1],
  [157, 100],
  [257, 8],
  [345, 155],
] as const;

function otherField(random: Random, header: Buffer): Buffer {
  const [offset, length] = random.pick(TAR_FIELDS);
  const field = Buffer.alloc(length);
  const text = random.pick([
    mutateText(random, 'storages'),
    '77777777777',
    '-1',
    '0',
    '99999',
    'g',
    'L',
    '2',
    'pickle',
    'tensors',
  ]);
  if (random.once(5)) field.set(random.bytes(Math.min(8, length)));
  else field.write(text.slice(0, length), 'utf8');
  const changed = Buffer.from(header);
  changed.set(field, offset);
  return changed;
}
