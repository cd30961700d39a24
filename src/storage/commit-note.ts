import { MlfsError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { ChecksumPatch } from './checksums.ts';
import { crc32c } from './crc32c.ts';

/** Bytes of a file, as offset and length. */
export interface FileRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * What the commit mark says besides "it was decided": which file the dirty ranges go into, and the checksums that go with them.
 * With it a commit can be finished by somebody who knows nothing of the file's format.
 */
export interface CommitNote {
  readonly size: number;
  readonly identity: readonly FileRange[];
  /** CRC-32C of the identity ranges as they are when the commit is done. */
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

/** Throws ERR_MLFS_RECOVERY. */
export function decodeCommitNote(text: string, path: string): CommitNote {
  const note = JSON.parse(text) as {
    readonly version: number;
    readonly size: number;
    readonly identity: readonly (readonly [number, number])[];
    readonly structure: string;
    readonly checksums: readonly (readonly [number, number])[];
  };
  if (note.version !== 1) {
    throw new MlfsError('ERR_MLFS_RECOVERY', `${path}: a commit of version ${note.version} was interrupted`, {
      path,
      advice: 'Finish it with the version of mlfs that began it.',
    });
  }
  return {
    size: note.size,
    identity: note.identity.map(([offset, length]) => ({ offset, length })),
    structure: note.structure,
    patches: note.checksums.map(([offset, value]) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(value);
      return { offset, bytes };
    }),
  };
}

const SLICE_BYTES = 1024 * 1024;

/** CRC-32C over ranges of a file as it is once the patches are in it: 8 hexadecimal digits. The same before, during and after a commit. */
export async function structureOf(
  file: Pick<ByteSource, 'read'>,
  ranges: readonly FileRange[],
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

/** Copies the part of a patch that falls into `bytes`, which begin at `start` of the file. */
function place(bytes: Buffer, start: number, patch: ChecksumPatch): void {
  const from = Math.max(start, patch.offset);
  const to = Math.min(start + bytes.byteLength, patch.offset + patch.bytes.byteLength);
  if (from < to) bytes.set(patch.bytes.subarray(from - patch.offset, to - patch.offset), from - start);
}
