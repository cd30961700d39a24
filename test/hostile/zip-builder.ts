import { deflateRawSync } from 'node:zlib';
import { crc32 } from '../../src/storage/crc32.ts';

/** One entry of an archive to be built; every field of its headers can be made wrong. */
export interface EntryPlan {
  readonly name: string | Buffer;
  readonly content?: Uint8Array;
  readonly method?: number;
  /** The run in the file; the content, deflated for method 8, by default. */
  readonly raw?: Uint8Array;
  readonly flags?: number;
  readonly crc?: number;
  readonly size?: number;
  readonly compressedSize?: number;
  readonly extra?: Uint8Array;
  /** What the local header says where it is not to agree. */
  readonly local?: {
    readonly signature?: number;
    readonly name?: string;
    readonly method?: number;
    readonly flags?: number;
    readonly crc?: number;
    readonly size?: number;
    readonly compressedSize?: number;
    readonly extra?: Uint8Array;
  };
  readonly localHeaderOffset?: number;
  readonly diskStart?: number;
  /** Bytes after the data: a descriptor, padding. */
  readonly trailer?: Uint8Array;
}

export interface EndPlan {
  readonly entryCount?: number;
  readonly diskEntryCount?: number;
  readonly disk?: number;
  readonly centralSize?: number;
  readonly centralOffset?: number;
  readonly comment?: Uint8Array;
  readonly commentLength?: number;
  /** Bytes between the central directory and the end record: ZIP64 records. */
  readonly zip64?: (centralOffset: number, centralSize: number, entryCount: number) => Buffer;
  /** Bytes after everything. */
  readonly after?: Uint8Array;
}

export const STORED = 0;
export const DEFLATED = 8;
export const DESCRIPTOR_FLAG = 8;

/** Builds an archive as an ordinary zip tool would, but for what the plans change. */
export function buildZip(entries: readonly EntryPlan[], end: EndPlan = {}): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let position = 0;
  for (const plan of entries) {
    const filled = fillIn(plan);
    const local = localPart(plan, filled);
    central.push(centralRecord(plan, filled, plan.localHeaderOffset ?? position));
    parts.push(local);
    position += local.length;
  }
  const directory = Buffer.concat(central);
  const zip64 = end.zip64?.(position, directory.length, entries.length) ?? Buffer.alloc(0);
  const record = Buffer.alloc(22);
  record.writeUInt32LE(0x06054b50, 0);
  record.writeUInt16LE(end.disk ?? 0, 4);
  record.writeUInt16LE(end.diskEntryCount ?? end.entryCount ?? entries.length, 8);
  record.writeUInt16LE(end.entryCount ?? entries.length, 10);
  record.writeUInt32LE(end.centralSize ?? directory.length, 12);
  record.writeUInt32LE(end.centralOffset ?? position, 16);
  const comment = Buffer.from(end.comment ?? []);
  record.writeUInt16LE(end.commentLength ?? comment.length, 20);
  return Buffer.concat([...parts, directory, zip64, record, comment, Buffer.from(end.after ?? [])]);
}

/** ZIP64 end record and locator (APPNOTE 4.3.14, 4.3.15), with changes. */
export function zip64End(
  changes: {
    signature?: number;
    recordSize?: bigint;
    disk?: number;
    entryCount?: bigint;
    centralSize?: bigint;
    centralOffset?: bigint;
    recordOffset?: bigint;
    disks?: number;
  } = {},
) {
  return (centralOffset: number, centralSize: number, entryCount: number): Buffer => {
    const count = changes.entryCount ?? BigInt(entryCount);
    const bytes = Buffer.alloc(76);
    bytes.writeUInt32LE(changes.signature ?? 0x06064b50, 0);
    bytes.writeBigUInt64LE(changes.recordSize ?? 44n, 4);
    bytes.writeUInt32LE(changes.disk ?? 0, 16);
    bytes.writeBigUInt64LE(count, 24);
    bytes.writeBigUInt64LE(count, 32);
    bytes.writeBigUInt64LE(changes.centralSize ?? BigInt(centralSize), 40);
    bytes.writeBigUInt64LE(changes.centralOffset ?? BigInt(centralOffset), 48);
    bytes.writeUInt32LE(0x07064b50, 56);
    bytes.writeBigUInt64LE(changes.recordOffset ?? BigInt(centralOffset + centralSize), 64);
    bytes.writeUInt32LE(changes.disks ?? 1, 72);
    return bytes;
  };
}

interface Filled {
  readonly name: Buffer;
  readonly raw: Buffer;
  readonly method: number;
  readonly flags: number;
  readonly crc: number;
  readonly size: number;
  readonly compressedSize: number;
}

function fillIn(plan: EntryPlan): Filled {
  const content = Buffer.from(plan.content ?? 'content');
  const method = plan.method ?? STORED;
  const raw = Buffer.from(plan.raw ?? (method === DEFLATED ? deflateRawSync(content) : content));
  return {
    name: Buffer.from(plan.name as string),
    raw,
    method,
    flags: plan.flags ?? 0,
    crc: plan.crc ?? crc32(content),
    size: plan.size ?? content.length,
    compressedSize: plan.compressedSize ?? raw.length,
  };
}

function localPart(plan: EntryPlan, filled: Filled): Buffer {
  const local = plan.local ?? {};
  const deferred = ((local.flags ?? filled.flags) & DESCRIPTOR_FLAG) !== 0;
  const name = local.name === undefined ? filled.name : Buffer.from(local.name);
  const extra = Buffer.from(local.extra ?? []);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(local.signature ?? 0x04034b50, 0);
  header.writeUInt16LE(local.flags ?? filled.flags, 6);
  header.writeUInt16LE(local.method ?? filled.method, 8);
  header.writeUInt32LE(local.crc ?? (deferred ? 0 : filled.crc), 14);
  header.writeUInt32LE(local.compressedSize ?? (deferred ? 0 : filled.compressedSize), 18);
  header.writeUInt32LE(local.size ?? (deferred ? 0 : filled.size), 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra, filled.raw, Buffer.from(plan.trailer ?? [])]);
}

function centralRecord(plan: EntryPlan, filled: Filled, localHeaderOffset: number): Buffer {
  const extra = Buffer.from(plan.extra ?? []);
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x02014b50, 0);
  record.writeUInt16LE(filled.flags, 8);
  record.writeUInt16LE(filled.method, 10);
  record.writeUInt32LE(filled.crc, 16);
  record.writeUInt32LE(filled.compressedSize, 20);
  record.writeUInt32LE(filled.size, 24);
  record.writeUInt16LE(filled.name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt16LE(plan.diskStart ?? 0, 34);
  record.writeUInt32LE(localHeaderOffset, 42);
  return Buffer.concat([record, filled.name, extra]);
}

/** A data descriptor of 16 bytes, or 24 with 8-byte sizes; without its signature 12 or 20. */
export function descriptor(crc: number, size: number, length: 12 | 16 | 20 | 24 = 16): Buffer {
  const long = length === 24 || length === 20;
  const bytes = Buffer.alloc(long ? 24 : 16);
  bytes.writeUInt32LE(0x08074b50, 0);
  bytes.writeUInt32LE(crc, 4);
  if (long) {
    bytes.writeBigUInt64LE(BigInt(size), 8);
    bytes.writeBigUInt64LE(BigInt(size), 16);
  } else {
    bytes.writeUInt32LE(size, 8);
    bytes.writeUInt32LE(size, 12);
  }
  return length === 12 || length === 20 ? bytes.subarray(4) : bytes;
}
