import { isUtf8 } from 'node:buffer';
import { getFileNameLowLevel } from 'yauzl';
import { NAME_LENGTH } from '../name-length.ts';

/** Bit 11 of the general purpose flags: name and comment are UTF-8 (APPNOTE 4.4.4). */
const UTF8_FLAG = 0x800;

/** torch writes UTF-8 with and without the flag; a name that is not UTF-8 and has no flag is in code page 437. */
export function decodeName(raw: Buffer, flags: number): { name: string } | { reason: string } {
  if (isUtf8(raw)) return { name: raw.toString('utf8') };
  if ((flags & UTF8_FLAG) !== 0) return { reason: 'the name is flagged as UTF-8 and is not' };
  return { name: getFileNameLowLevel(flags, raw, [], true) };
}

/** Why a name cannot be the path of an entry below the archive's root, or undefined when it can. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'the name is empty';
  if (name.length > NAME_LENGTH) return `the name has more than ${NAME_LENGTH} characters`;
  if (name.includes('\0')) return 'the name holds a NUL';
  if (name.includes('\\')) return 'the name holds a backslash';
  if (name.startsWith('/') || /^[A-Za-z]:\//.test(name)) return 'the name is an absolute path';
  if (name.includes('..') && name.split('/').includes('..')) return 'the name leaves the archive with ".."';
  return undefined;
}
