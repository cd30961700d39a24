import { errno } from '../errors.ts';

/** RENAME_NOREPLACE of renameat2(2): an existing target fails with EEXIST. */
const RENAME_NOREPLACE = 1;

/** Whether a rename must not replace a target. Throws EINVAL for flags that no room supports: RENAME_EXCHANGE and RENAME_WHITEOUT. */
export function refusesTarget(flags: number): boolean {
  if ((flags & ~RENAME_NOREPLACE) !== 0) throw errno('EINVAL', `rename flags ${flags}`);
  return (flags & RENAME_NOREPLACE) !== 0;
}
