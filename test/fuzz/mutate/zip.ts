/**
 * Mutations of an archive. It is taken apart into the plans of its entries, plans are changed, and it is built again with checksums and
 * offsets that are right but for what a mutation made wrong on purpose.
 */
import { inflateRawSync } from 'node:zlib';
import { crc32 } from '../../../src/storage/crc32.ts';
import {
  buildZip,
  DEFLATED,
  DESCRIPTOR_FLAG,
  descriptor,
  type EndPlan,
  type EntryPlan,
  STORED,
  zip64End,
} from '../../hostile/zip-builder.ts';
import type { Random } from '../random.ts';
import { edge, mutateBytes, mutateText } from './bytes.ts';
import { mutateJson } from './json.ts';
import { mutatePickle } from './pickle.ts';
import { mutateScript } from './script.ts';

const END_RECORD_BYTES = 22;

/** Entries of a well-formed archive, their contents inflated. Undefined when it is not one. */
export function readPlans(file: Buffer): EntryPlan[] | undefined {
  const end = file.lastIndexOf('PK\x05\x06');
  if (end < 0 || end + END_RECORD_BYTES > file.length) return undefined;
  const plans: EntryPlan[] = [];
  let at = file.readUInt32LE(end + 16);
  for (let left = file.readUInt16LE(end + 10); left > 0; left--) {
    if (at + 46 > end || file.readUInt32LE(at) !== 0x02014b50) return undefined;
    const method = file.readUInt16LE(at + 10);
    const compressedSize = file.readUInt32LE(at + 20);
    const nameLength = file.readUInt16LE(at + 28);
    const local = file.readUInt32LE(at + 42);
    if (local + 30 > file.length) return undefined;
    const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28);
    const raw = file.subarray(start, start + compressedSize);
    plans.push({
      name: Buffer.from(file.subarray(at + 46, at + 46 + nameLength)),
      method: method === DEFLATED ? DEFLATED : STORED,
      content: method === DEFLATED ? inflateRawSync(raw) : raw,
    });
    at += 46 + nameLength + file.readUInt16LE(at + 30) + file.readUInt16LE(at + 32);
  }
  return plans.length > 0 ? plans : undefined;
}

export function mutateZip(random: Random, file: Buffer): Buffer {
  const plans = readPlans(file);
  if (plans === undefined || random.once(20)) return mutateBytes(random, file);
  let changed = aligned(random, plans);
  for (let left = random.pick([1, 1, 1, 2, 3]); left > 0 && changed.length > 0; left--) {
    changed = random.once(4) ? otherEntries(random, changed) : otherContent(random, changed);
  }
  const end = random.once(10) ? otherEnd(random) : {};
  const built = buildZip(changed, end);
  return random.once(25) ? mutateBytes(random, built) : built;
}

/** Sometimes with torch's padding, sometimes without. */
function aligned(random: Random, plans: EntryPlan[]): EntryPlan[] {
  if (random.once(2)) return plans;
  const padding = random.pick([0, 12, 60, 4000]);
  const extra = Buffer.alloc(4 + padding, 'Z');
  extra.write('FB', 'latin1');
  extra.writeUInt16LE(padding, 2);
  return plans.map((plan) => (plan.method === STORED ? { ...plan, local: { extra } } : plan));
}

function nameOf({ name }: EntryPlan): string {
  return Buffer.from(name as string).toString('utf8');
}

/** Changes what an entry holds, as something of its kind. */
function otherContent(random: Random, plans: EntryPlan[]): EntryPlan[] {
  const pickles = plans.filter((plan) => nameOf(plan).endsWith('.pkl'));
  const programs = plans.filter((plan) => /\.(py|json)$/.test(nameOf(plan)));
  const chosen =
    pickles.length > 0 && !random.once(3)
      ? random.pick(pickles)
      : programs.length > 0 && !random.once(3)
        ? random.pick(programs)
        : random.pick(plans);
  const content = mutateContent(random, nameOf(chosen), Buffer.from(chosen.content ?? []));
  return plans.map((plan) => (plan === chosen ? { ...plan, content } : plan));
}

function mutateContent(random: Random, name: string, content: Buffer): Buffer {
  if (name.endsWith('.pkl')) return mutatePickle(random, content);
  if (name.endsWith('.json')) return mutateJson(random, content);
  if (name.endsWith('.py')) return Buffer.from(mutateScript(random, content.toString('utf8')));
  if (content.subarray(0, 2).toString('latin1') === 'PK' && !random.once(5))
    return mutateZip(random, content);
  if (/(byteorder|version|_version|alignment|serialization_id)$/.test(name)) {
    return Buffer.from(
      random.pick(['big', 'little', 'BIG\n', '', '3', '-1', '9'.repeat(40), '\xff', '3\n\n']),
    );
  }
  if (content.length === 0) return random.bytes(4);
  if (!random.once(4)) {
    // Numbers of a tensor, which may be any.
    const changed = Buffer.from(content);
    random.bytes(Math.min(content.length, 16)).copy(changed, random.below(content.length));
    return changed;
  }
  return random.pick([
    content.subarray(0, random.below(content.length)),
    Buffer.concat([content, content]),
    Buffer.alloc(0),
    mutateBytes(random, content),
  ]);
}

/** Changes what the archive says of its entries: names, order, methods, sizes, flags, places. */
function otherEntries(random: Random, plans: EntryPlan[]): EntryPlan[] {
  const at = random.below(plans.length);
  const plan = plans[at] as EntryPlan;
  const other = random.pick(plans);
  switch (random.below(9)) {
    case 0:
      return random.shuffled(plans);
    case 1:
      return plans.toSpliced(at, 1);
    case 2:
      return plans.toSpliced(
        random.below(plans.length),
        0,
        random.once(2) ? plan : { ...other, name: nameOf(plan) + random.pick(['', 'x', '/']) },
      );
    case 3:
      return plans.with(at, { ...plan, content: other.content ?? Buffer.alloc(0) });
    case 4:
      return plans.with(at, { ...plan, name: otherName(random, nameOf(plan), nameOf(other)) });
    case 5: {
      const root = nameOf(plan).split('/')[0] ?? '';
      const added = random.pick([
        'data.pkl',
        'byteorder',
        'constants.pkl',
        'bytecode.pkl',
        'version',
        'code/__torch__.py',
        'data/0',
        'extra/x',
        '.format_version',
        'models/m.json',
        'data/weights/model_weights_config.json',
      ]);
      return [...plans, { name: `${root}/${added}`, content: other.content ?? Buffer.alloc(0) }];
    }
    default:
      return plans.with(at, otherHeader(random, plan));
  }
}

function otherName(random: Random, name: string, other: string): string | Buffer {
  return random.pick<string | Buffer>([
    other,
    mutateText(random, name),
    name.replaceAll('/', random.pick(['//', '\\', '/./', ''])),
    `../${name}`,
    `/${name}`,
    name.replace(/[^/]+\//, ''),
    Buffer.concat([Buffer.from(name), Buffer.of(0xff, 0xfe)]),
    name.toUpperCase(),
  ]);
}

function otherHeader(random: Random, plan: EntryPlan): EntryPlan {
  const content = Buffer.from(plan.content ?? []);
  const number = () =>
    Number(
      BigInt.asUintN(
        32,
        random.once(2) ? edge(random) : BigInt(content.length) + BigInt(random.between(-2, 2)),
      ),
    );
  const wide = () => BigInt.asUintN(64, edge(random));
  switch (random.below(14)) {
    case 0:
      return { ...plan, method: plan.method === DEFLATED ? STORED : DEFLATED };
    case 1:
      return { ...plan, size: number() };
    case 2:
      return { ...plan, compressedSize: number() };
    case 3:
      return { ...plan, crc: random.next() };
    case 4:
      return { ...plan, flags: random.pick([1, 8, 0x20, 0x40, 0x800, 0x809, 0xffff]) };
    case 5:
      return withDescriptor(random, plan, content);
    case 6:
      return {
        ...plan,
        extra: zip64Field([wide(), wide(), wide()].slice(0, random.below(4))),
        size: 0xffffffff,
        compressedSize: 0xffffffff,
      };
    case 7:
      return {
        ...plan,
        extra: zip64Field([BigInt(content.length), BigInt(content.length)]),
        size: 0xffffffff,
        compressedSize: 0xffffffff,
        local: {
          size: 0xffffffff,
          compressedSize: 0xffffffff,
          extra: zip64Field([BigInt(content.length), BigInt(content.length)]),
        },
      };
    case 8:
      return {
        ...plan,
        extra: mutateBytes(random, zip64Field([wide()])),
        local: { extra: random.bytes(random.below(20)) },
      };
    case 9:
      return {
        ...plan,
        local: {
          ...random.pick([
            { size: number() },
            { compressedSize: number() },
            { method: 8 },
            { flags: 8 },
            { name: 'other' },
            { crc: random.next() },
            { signature: random.next() },
          ]),
        },
      };
    case 10:
      return { ...plan, localHeaderOffset: random.pick([0, number(), random.below(5000)]) };
    case 11:
      return {
        ...plan,
        method: DEFLATED,
        raw: mutateBytes(random, content.subarray(0, 2000)),
        size: number(),
      };
    case 12: {
      // Inflates to a thousand times its size.
      const long = Buffer.alloc(random.pick([1 << 16, 1 << 20, 1 << 23]));
      return { ...plan, method: DEFLATED, content: long, size: random.once(2) ? long.length : number() };
    }
    default:
      return {
        ...plan,
        trailer: random.bytes(random.pick([1, 16, 64])),
        diskStart: random.pick([0, 0, 1, 0xffff]),
      };
  }
}

function withDescriptor(random: Random, plan: EntryPlan, content: Buffer): EntryPlan {
  const crc = random.once(4) ? random.next() : crc32(content);
  const size = random.once(4) ? content.length + 1 : content.length;
  const trailer = random.once(6) ? random.bytes(16) : descriptor(crc, size, random.pick([12, 16, 20, 24]));
  return { ...plan, method: STORED, flags: DESCRIPTOR_FLAG, trailer };
}

/** Extra field 1, APPNOTE 4.5.3. */
function zip64Field(values: readonly bigint[]): Buffer {
  const field = Buffer.alloc(4 + values.length * 8);
  field.writeUInt16LE(1);
  field.writeUInt16LE(values.length * 8, 2);
  for (const [index, value] of values.entries()) field.writeBigUInt64LE(value, 4 + index * 8);
  return field;
}

function otherEnd(random: Random): EndPlan {
  const small = () => random.pick([0, 1, 2, 3, 0xffff, random.below(0x10000)]);
  const wide = () => BigInt.asUintN(64, edge(random));
  return random.pick<() => EndPlan>([
    () => ({ entryCount: small() }),
    () => ({ diskEntryCount: small() }),
    () => ({ centralSize: random.next() }),
    () => ({ centralOffset: random.pick([random.next(), random.below(5000)]) }),
    () => ({
      comment: Buffer.from(random.pick(['hello', 'PK\x05\x06', 'PK\x05\x06'.repeat(30), 'x'.repeat(0xffff)])),
    }),
    () => ({ commentLength: small() }),
    () => ({ zip64: zip64End() }),
    () => ({ entryCount: 0xffff, centralSize: 0xffffffff, centralOffset: 0xffffffff, zip64: zip64End() }),
    () => ({
      zip64: zip64End(
        random.pick([
          { entryCount: wide() },
          { centralSize: wide() },
          { centralOffset: wide() },
          { recordOffset: wide() },
          { recordSize: wide() },
          { disks: 0 },
        ]),
      ),
    }),
    () => ({ after: random.bytes(random.pick([1, 22, 100])) }),
    () => ({ after: Buffer.alloc(66_000) }),
  ])();
}
