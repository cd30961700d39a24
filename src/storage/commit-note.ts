import { MlfsError } from '../errors.ts';
import type { FileSpan } from './byte-ranges.ts';
import type { ByteSource } from './byte-source.ts';
import type { ChecksumPatch } from './checksums.ts';
import { crc32c } from './crc32c.ts';

/**
 * The payload of a commit mark: the file that the dirty ranges go into, and the checksums that go with them. With it, a process that knows
 * nothing of the file's format can finish the commit.
 */
export interface CommitNote {
  readonly size: number;
  readonly identity: readonly FileSpan[];
  /** CRC-32C of the identity ranges after the commit. */
  readonly structure: string;
  readonly patches: readonly ChecksumPatch[];
}

export function encodeCommitNote({ size, identity, structure, patches }: CommitNote): string {
  return JSON.stringify({
    version: 1,
    size,
    identity: identity.map(({ offset, length }) => [offset, length]),
    structure,
    checksums: patches.map(({ offset, bytes }) => [offset, bytes.readUInt32LE(0)]),
  });
}

/** More than the checksums of a million entries take. */
const MAX_NOTE_CHARACTERS = 64 * 1024 * 1024;
const CHECKSUM_BYTES = 4;
const STRUCTURE = /^[0-9a-f]{8}$/;

/** Throws ERR_MLFS_RECOVERY for anything that this version did not write: every field is checked, and every offset lies inside `size`. */
export function decodeCommitNote(text: string, path: string): CommitNote {
  const refuse = (reason: string) =>
    new MlfsError(
      'ERR_MLFS_RECOVERY',
      `${path}: a commit was interrupted, and its note in the journal ${reason}`,
      {
        path,
        advice: `Restore the state directory from a copy, or drop its edits: mlfs discard ${path}`,
      },
    );
  if (text.length > MAX_NOTE_CHARACTERS) throw refuse(`has ${text.length} characters`);
  const note = parsed(text);
  if (note === undefined) throw refuse('is not a JSON object');
  const { version, size, identity, structure, checksums } = note;
  if (version !== 1) {
    const said = typeof version === 'number' ? `has version ${version}` : 'has no version';
    throw new MlfsError('ERR_MLFS_RECOVERY', `${path}: a commit was interrupted, and its note ${said}`, {
      path,
      advice: 'Finish it with the version of mlfs that began it.',
    });
  }
  if (!isCount(size)) throw refuse('has a size that is not a number of bytes');
  if (typeof structure !== 'string' || !STRUCTURE.test(structure)) {
    throw refuse('has a structure that is not 8 hexadecimal digits');
  }
  const ranges = pairs(identity);
  if (ranges === undefined) throw refuse('has an identity that is not a list of pairs of numbers');
  const values = pairs(checksums);
  if (values === undefined) throw refuse('has checksums that are not a list of pairs of numbers');
  for (const [offset, length] of ranges) {
    if (offset + length > size)
      throw refuse(`has an identity at bytes ${offset} to ${offset + length} of ${size}`);
  }
  return {
    size,
    identity: ranges.map(([offset, length]) => ({ offset, length })),
    structure,
    patches: values.map(([offset, value]) => {
      if (offset + CHECKSUM_BYTES > size) throw refuse(`has a checksum at byte ${offset} of ${size}`);
      if (value > 0xffffffff) throw refuse(`has a checksum of ${value}`);
      const bytes = Buffer.alloc(CHECKSUM_BYTES);
      bytes.writeUInt32LE(value);
      return { offset, bytes };
    }),
  };
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function pairs(value: unknown): readonly (readonly [number, number])[] | undefined {
  const isPair = (item: unknown) => Array.isArray(item) && item.length === 2 && item.every(isCount);
  return Array.isArray(value) && value.every(isPair) ? (value as [number, number][]) : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const SLICE_BYTES = 1024 * 1024;

/** CRC-32C over ranges of a file with the patches applied: 8 hexadecimal digits. It is the same before, during and after a commit. */
export async function structureOf(
  file: Pick<ByteSource, 'read'>,
  ranges: readonly FileSpan[],
  patches: readonly ChecksumPatch[],
): Promise<string> {
  let crc = 0;
  for (const { offset, length } of ranges) {
    for (let at = offset; at < offset + length; at += SLICE_BYTES) {
      const end = Math.min(offset + length, at + SLICE_BYTES);
      const bytes = await file.read(at, end - at);
      for (const patch of patches) place(bytes, at, patch);
      crc = crc32c(bytes, crc);
    }
  }
  return crc.toString(16).padStart(8, '0');
}

/** Copies the part of a patch that lies in `bytes`, which begin at `start` of the file. */
function place(bytes: Buffer, start: number, patch: ChecksumPatch): void {
  const from = Math.max(start, patch.offset);
  const to = Math.min(start + bytes.byteLength, patch.offset + patch.bytes.byteLength);
  if (from < to) bytes.set(patch.bytes.subarray(from - patch.offset, to - patch.offset), from - start);
}
