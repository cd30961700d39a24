import { errno } from '../errors.ts';

/** renameat2(2)'s flag: a target that is there is EEXIST. */
const RENAME_NOREPLACE = 1;

/** Whether a rename must find no target. Throws EINVAL for what no room does: RENAME_EXCHANGE and RENAME_WHITEOUT. */
export function refusesTarget(flags: number): boolean {
  if ((flags & ~RENAME_NOREPLACE) !== 0) throw errno('EINVAL', `rename flags ${flags}`);
  return (flags & RENAME_NOREPLACE) !== 0;
}
