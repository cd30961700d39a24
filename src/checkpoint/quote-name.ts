/** A name from a file (an entry's, a tensor's) as a message shows it: control characters escaped, long names cut. */
export function quoteName(name: string): string {
  const shown = name.length > 120 ? `${name.slice(0, 117)}...` : name;
  return JSON.stringify(shown).replace(/[\u007f-\u009f]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`);
}
