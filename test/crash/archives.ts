/** Archives to be edited: every way in which a zip writes its checksums down, and one in another. Small, so that thousands of crashes take seconds. */
import * as zlib from 'node:zlib';
import { readArchive } from '../../src/checkpoint/zip/archive.ts';
import type { ByteSource } from '../../src/storage/byte-source.ts';
import { buildZip, DESCRIPTOR_FLAG, descriptor, type EntryPlan, zip64End } from '../hostile/zip-builder.ts';
import { SeededRandom } from './seeded-random.ts';

/** Bytes with a CRC-32, and where it is written. */
export interface CheckedEntry {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
  readonly fields: readonly number[];
}

export interface SampleArchive {
  readonly bytes: Buffer;
  /** Those inside others come before them. */
  readonly entries: readonly CheckedEntry[];
}

type Descriptor = 'none' | 16 | 24;

const random = new SeededRandom(2024);

/** Two tensors with a descriptor each, as torch writes them. */
export const withDescriptors = await sample(plans(16, [3000, 5000]));
/** The checksums in the local headers, as most zip tools write them. */
export const withLocalChecksums = await sample(plans('none', [3000, 5000]));
/** Descriptors with 8-byte sizes. */
export const withLongDescriptors = await sample(plans(24, [3000, 5000]));
/** A tensor of some MiB: an atomic update of it takes many records. */
export const withLargeEntry = await sample(plans(16, [3 * 1024 * 1024 + 17, 600]));
export const nested = await sampleOfNested();

/** The file as it has to be when its contents are these: every checksum computed anew, over everything. */
export function withChecksums(bytes: Buffer, entries: readonly CheckedEntry[]): Buffer {
  const result = Buffer.from(bytes);
  for (const { offset, length, fields } of entries) {
    const crc = zlib.crc32(result.subarray(offset, offset + length));
    for (const field of fields) result.writeUInt32LE(crc, field);
  }
  return result;
}

/** Where an entry of some name lies. */
export function entryOf(archive: SampleArchive, name: string): CheckedEntry {
  const found = archive.entries.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`no entry ${name}`);
  return found;
}

export function sourceOf(bytes: Buffer): ByteSource {
  return {
    path: 'sample.pt',
    size: bytes.byteLength,
    read: async (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
  };
}

function plans(kind: Descriptor, sizes: readonly number[]): EntryPlan[] {
  const contents = [
    { name: 'model/data.pkl', content: random.bytes(90) },
    ...sizes.map((size, index) => ({ name: `model/data/${index}`, content: random.bytes(size) })),
    { name: 'model/version', content: Buffer.from('3\n') },
  ];
  return contents.map(({ name, content }) => ({
    name,
    content,
    ...(kind === 'none'
      ? {}
      : { flags: DESCRIPTOR_FLAG, trailer: descriptor(zlib.crc32(content), content.byteLength, kind) }),
  }));
}

async function sample(entries: readonly EntryPlan[]): Promise<SampleArchive> {
  const bytes = buildZip(entries, { zip64: zip64End() });
  return { bytes, entries: await checkedEntries(bytes, 0, bytes.byteLength, '') };
}

/** A bundle with a plain record and an archive of its own with descriptors. */
async function sampleOfNested(): Promise<SampleArchive> {
  const inner = buildZip(plans(16, [2000, 1000]), { zip64: zip64End() });
  const bytes = buildZip([
    { name: 'bundle/extra.bin', content: random.bytes(700) },
    {
      name: 'bundle/model.pt',
      content: inner,
      flags: DESCRIPTOR_FLAG,
      trailer: descriptor(zlib.crc32(inner), inner.byteLength),
    },
  ]);
  const outer = await checkedEntries(bytes, 0, bytes.byteLength, '');
  const { offset, length } = outer.find(({ name }) => name === 'bundle/model.pt') as CheckedEntry;
  return { bytes, entries: [...(await checkedEntries(bytes, offset, length, 'inner ')), ...outer] };
}

/** APPNOTE: the CRC-32 is at byte 14 of a local header, 16 of a central record, 4 of a descriptor with its signature. */
async function checkedEntries(
  bytes: Buffer,
  offset: number,
  length: number,
  prefix: string,
): Promise<CheckedEntry[]> {
  const { entries } = await readArchive(sourceOf(bytes), { offset, length });
  return entries.map((entry) => ({
    name: prefix + entry.name,
    offset: entry.offset,
    length: entry.compressedSize,
    fields: [
      entry.centralOffset + 16,
      entry.descriptor === undefined ? entry.localHeaderOffset + 14 : entry.descriptor.offset + 4,
    ],
  }));
}
