import { type ErrorCode, MlfsError } from '../../errors.ts';

/** Why an archive, or one of its entries, is not opened. The message names the file, the entry when there is one, and the reason. */
export function refuse(code: ErrorCode, path: string, entry: string | undefined, reason: string): MlfsError {
  const place = entry === undefined ? path : `${path}: entry ${quoteName(entry)}`;
  return new MlfsError(code, `${place}: ${reason}`, { path });
}

/** An entry's name as a message shows it: control characters escaped, long names cut. */
export function quoteName(name: string): string {
  const shown = name.length > 120 ? `${name.slice(0, 117)}...` : name;
  return JSON.stringify(shown).replace(/[\u007f-\u009f]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
}
