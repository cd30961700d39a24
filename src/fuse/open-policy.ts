import { errno } from '../errors.ts';
import type { Content } from '../storage/content.ts';

/** open(2) flags, as asm-generic/fcntl.h has them on Linux. */
export const O_ACCMODE = 0o3;
export const O_RDONLY = 0o0;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;

/**
 * How one OPEN is served:
 * - extents: the data plane answers READ by itself, the kernel keeps the pages.
 * - rendered: a function answers, the kernel keeps the pages: the bytes never change.
 * - snapshot: the bytes are made now and belong to this handle; the kernel keeps nothing.
 * - live: every read asks; the kernel keeps nothing.
 */
export interface OpenPolicy {
  readonly serve: Content['kind'];
  readonly caching: 'keep' | 'direct';
  readonly append: boolean;
}

/**
 * The one place that decides how an OPEN is served. Passthrough to a backing file, when it comes, is one more answer
 * here. Throws EROFS for a write to what cannot be written.
 */
export function openPolicy(content: Content, flags: number, mountIsReadOnly: boolean): OpenPolicy {
  const writes = (flags & O_ACCMODE) !== O_RDONLY;
  const appendable = content.kind === 'live' && content.append !== undefined && !mountIsReadOnly;
  if (writes && !appendable) throw errno('EROFS');
  // A log is only ever added to: what `>` would throw away is not the writer's.
  if (writes && (flags & O_TRUNC) !== 0) throw errno('EPERM');
  const caching = content.kind === 'extents' || content.kind === 'rendered' ? 'keep' : 'direct';
  return { serve: content.kind, caching, append: writes };
}
