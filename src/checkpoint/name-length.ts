/**
 * Maximum length of a name (of a tensor, a global, an archive's entry, a key of a header), in UTF-16 units. No path of Linux has more than 4,096 bytes and
 * no real name comes near it. The limit is below the 16,383 units from which on V8 hashes a string by its length alone: a few
 * thousand longer names of one length would make every look into a Map as slow as comparing all of them.
 */
export const NAME_LENGTH = 8192;

/** The first characters of a name that is too long for a message. */
export function nameStart(name: string): string {
  return `${name.slice(0, 40)}…`;
}
