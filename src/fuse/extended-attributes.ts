import { errno } from '../errors.ts';
import type { Inode } from '../inode.ts';

/**
 * The value of an extended attribute. Throws ENODATA. Outside `user.` the answer is "not supported" and not "no such attribute": `ls -l` then
 * asks once for the mount, and not for every file (security.selinux, system.posix_acl_access).
 */
export function xattrOf(name: string, inode: () => Inode): Uint8Array {
  if (!name.startsWith('user.')) throw errno('EOPNOTSUPP');
  const value = inode().xattrs?.get(name);
  if (value === undefined) throw errno('ENODATA');
  return Buffer.from(value, 'utf8');
}

export function xattrNames({ xattrs }: Inode): readonly string[] {
  return [...(xattrs?.keys() ?? [])];
}
