import type { Attr, AttrChange, RequestContext } from './filesystem.ts';

/** access(2)'s mask bits. */
export const X_OK = 1;
export const W_OK = 2;
export const R_OK = 4;

/**
 * Whether mode bits grant `mask` to the caller. Supplementary groups are not in a request; the mount option
 * default_permissions lets the kernel decide, which knows them.
 */
export function permits(attr: Attr, mask: number, caller: RequestContext): boolean {
  if (caller.uid === 0) {
    const executable = attr.kind === 'directory' || (attr.mode & 0o111) !== 0;
    return (mask & X_OK) === 0 || executable;
  }
  const granted =
    caller.uid === attr.uid ? attr.mode >> 6 : caller.gid === attr.gid ? attr.mode >> 3 : attr.mode;
  return (mask & ~granted & 0o7) === 0;
}

/** Whether the caller may change attributes: the owner's affair, except that who may write may say that it is now. */
export function mayChange(attr: Attr, change: AttrChange, caller: RequestContext): boolean {
  if (caller.uid === 0) return true;
  const ownership = change.uid !== undefined && change.uid !== attr.uid;
  if (ownership) return false;
  if (caller.uid === attr.uid) return true;
  const onlyTimes = change.mode === undefined && change.uid === undefined && change.gid === undefined;
  return onlyTimes && permits(attr, W_OK, caller);
}
