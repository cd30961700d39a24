/**
 * base.json of a state directory: the file that the journal's offsets refer to, and the user who made the journal. The version is 2.
 * Version 1, without device and user, can still be read.
 */
import { MlfsError } from '../errors.ts';
import { structureOf } from './commit-note.ts';
import type { FileStructure } from './file-structure.ts';
import type { ImageBase } from './image.ts';

export interface BaseRecord {
  /** Absolute path, for people. */
  readonly path: string;
  /** Device number, decimal. For people only: some file systems change it at each boot. Version 1 has none. */
  readonly dev?: string;
  readonly ino: string;
  readonly size: number;
  readonly mtimeNs: string;
  /** CRC-32C of the parts that say what the file is (a zip's central directory, a header); 8 hexadecimal digits. */
  readonly structure: string;
  /** Effective user id of the process that wrote it. Version 1 has none. */
  readonly uid?: number;
}

const VERSION = 2;
/** Linux's longest path, escaped, with space for the numbers. */
export const MAX_BASE_BYTES = 64 * 1024;
const DECIMAL = /^\d{1,20}$/;
const STRUCTURE = /^[0-9a-f]{8}$/;

/** A record without a device or a user is of version 1. */
export function encodeBase({ path, dev, ino, size, mtimeNs, structure, uid }: BaseRecord): string {
  const version = dev === undefined || uid === undefined ? 1 : VERSION;
  return `${JSON.stringify({ version, path, dev, ino, size, mtimeNs, structure, uid })}\n`;
}

/** Throws ERR_MLFS_RECOVERY. No message repeats the file's contents. */
export function decodeBase(text: string, path: string): BaseRecord {
  const refuse = (reason: string) =>
    new MlfsError('ERR_MLFS_RECOVERY', `${path}: ${reason}`, {
      path,
      advice: 'Restore it from a copy, or drop the edits that it belongs to: mlfs discard.',
    });
  let fields: Partial<Record<keyof BaseRecord | 'version', unknown>> | null;
  try {
    fields = JSON.parse(text) as typeof fields;
  } catch {
    throw refuse('is not JSON');
  }
  if (typeof fields !== 'object' || fields === null) throw refuse('is not a JSON object');
  const { version, path: checkpoint, dev, ino, size, mtimeNs, structure, uid } = fields;
  if (version !== 1 && version !== VERSION) {
    const said = typeof version === 'number' ? `has version ${version}` : 'has no version';
    throw refuse(`${said}; this mlfs knows versions 1 and ${VERSION}`);
  }
  if (typeof checkpoint !== 'string') throw refuse('its path is not a string');
  if (!isCount(size)) throw refuse('its size is not a number of bytes');
  if (!isDecimal(ino)) throw refuse('its ino is not a decimal number');
  if (!isDecimal(mtimeNs, '-')) throw refuse('its mtimeNs is not a decimal number');
  if (typeof structure !== 'string' || !STRUCTURE.test(structure)) {
    throw refuse('its structure is not 8 hexadecimal digits');
  }
  const record = { path: checkpoint, ino, size, mtimeNs, structure };
  if (version === 1) return record;
  if (!isDecimal(dev)) throw refuse('its dev is not a decimal number');
  if (!isCount(uid)) throw refuse('its uid is not a user id');
  return { ...record, dev, uid };
}

/** The record for an open file and the user of this process. */
export async function describeBase(
  path: string,
  base: Pick<ImageBase, 'fingerprint' | 'read'>,
  structure: FileStructure,
): Promise<BaseRecord> {
  const { dev, ino, size, mtimeNs } = base.fingerprint;
  return {
    path,
    dev: String(dev),
    ino: String(ino),
    size,
    mtimeNs: String(mtimeNs),
    structure: await structureOf(base, structure.identity, []),
    ...OWN_USER,
  };
}

/** The user that base.json names: the user of this process. */
export const OWN_USER: { readonly uid: number } = { uid: process.geteuid?.() ?? 0 };

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isDecimal(value: unknown, sign = ''): value is string {
  return typeof value === 'string' && DECIMAL.test(value.startsWith(sign) ? value.slice(sign.length) : value);
}
