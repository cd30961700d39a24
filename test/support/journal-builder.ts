/** Journals made byte by byte, as an attacker of the next mount would make them. */
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { crc32c } from '../../src/storage/crc32c.ts';

export type PlantedRecord =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array; readonly batch?: number }
  | { readonly kind: 'commit'; readonly note: string }
  | { readonly kind: 'batchEnd'; readonly batch: number };

const KINDS = { write: 1, batchEnd: 2, commit: 3 } as const;
const HEADER_BYTES = 40;
const NOT_KNOWN = 0xffffffff;

export function segment(records: Iterable<PlantedRecord>): Buffer {
  const header = Buffer.alloc(24);
  header.write('MLFL');
  header.writeUInt16LE(1, 4);
  header.writeUInt32LE(1, 8);
  header.writeBigUInt64LE(1n, 12);
  header.writeUInt32LE(crc32c(header.subarray(0, 20)), 20);
  const parts: Uint8Array[] = [header];
  let sequence = 1;
  for (const record of records) {
    const payload =
      record.kind === 'write'
        ? record.bytes
        : record.kind === 'commit'
          ? Buffer.from(record.note)
          : Buffer.alloc(0);
    const bytes = Buffer.alloc(HEADER_BYTES);
    bytes.write('MLFR');
    bytes.writeUInt32LE(payload.byteLength, 8);
    bytes.writeUInt8(KINDS[record.kind], 12);
    bytes.writeBigUInt64LE(BigInt(sequence), 16);
    bytes.writeBigUInt64LE(BigInt(record.kind === 'write' ? record.offset : 0), 24);
    const batch = 'batch' in record ? (record.batch ?? 0) : 0;
    bytes.writeUInt32LE(batch === 0 ? 0 : sequence - batch + 1, 32);
    bytes.writeUInt32LE(NOT_KNOWN, 36);
    bytes.writeUInt32LE(crc32c(payload, crc32c(bytes.subarray(8))), 4);
    parts.push(bytes, payload);
    sequence++;
  }
  return Buffer.concat(parts);
}

/** The central directory of a zip and its end records: their offset and their CRC-32C. */
export async function identityOfZip(
  checkpoint: string,
): Promise<{ offset: number; length: number; structure: string }> {
  const bytes = await readFile(checkpoint);
  const end = bytes.lastIndexOf('PK\x05\x06');
  const zip64 = bytes.lastIndexOf('PK\x06\x06');
  const offset = zip64 < 0 ? bytes.readUInt32LE(end + 16) : Number(bytes.readBigUInt64LE(zip64 + 48));
  const structure = crc32c(bytes.subarray(offset)).toString(16).padStart(8, '0');
  return { offset, length: bytes.byteLength - offset, structure };
}

export interface PlantOptions {
  /** Fields of base.json that differ from those of the checkpoint. */
  readonly base?: Readonly<Record<string, unknown>>;
  /** Replaces the text of base.json. */
  readonly baseText?: string;
}

/** Makes `<checkpoint>.mlfs` as a mount of this user would have left it, with these records. Returns its path. */
export async function plantJournal(
  checkpoint: string,
  records: Iterable<PlantedRecord>,
  { base = {}, baseText }: PlantOptions = {},
): Promise<string> {
  const directory = `${checkpoint}.mlfs`;
  await mkdir(join(directory, 'journal'), { recursive: true });
  await chmod(directory, 0o700);
  await chmod(join(directory, 'journal'), 0o700);
  const { dev, ino, size, mtimeNs } = await stat(checkpoint, { bigint: true });
  const { structure } = await identityOfZip(checkpoint);
  const text = JSON.stringify({
    version: 2,
    path: resolve(checkpoint),
    dev: String(dev),
    ino: String(ino),
    size: Number(size),
    mtimeNs: String(mtimeNs),
    structure,
    uid: process.geteuid?.() ?? 0,
    ...base,
  });
  await writeFile(join(directory, 'base.json'), baseText ?? text, { mode: 0o600 });
  await writeFile(join(directory, 'journal', '000001.log'), segment(records), { mode: 0o600 });
  return directory;
}

/** A commit note for the present checkpoint, with some fields replaced. */
export async function noteFor(
  checkpoint: string,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const { offset, length, structure } = await identityOfZip(checkpoint);
  const { size } = await stat(checkpoint);
  return JSON.stringify({
    version: 1,
    size,
    identity: [[offset, length]],
    structure,
    checksums: [],
    ...fields,
  });
}
