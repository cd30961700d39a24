import { type ErrorCode, MlfsError } from '../../errors.ts';
import { quoteName } from '../../visible-text.ts';

/** Why an archive, or one of its entries, is not opened. The message names the file, the entry when there is one, and the reason. */
export function refuse(code: ErrorCode, path: string, entry: string | undefined, reason: string): MlfsError {
  const place = entry === undefined ? path : `${path}: entry ${quoteName(entry)}`;
  return new MlfsError(code, `${place}: ${reason}`, { path });
}
