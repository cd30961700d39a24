import type { ZipEntry } from '../zip/entry.ts';

/** The parts of a torch archive, by torch's rules: every record lies below the folder that the first entry names. */
export interface ArchiveLayout {
  /** `archive/`, or empty when the entries have no folder. */
  readonly prefix: string;
  /** Entries by their name without the prefix. */
  readonly records: ReadonlyMap<string, ZipEntry>;
}

/** undefined when there is no `data.pkl` where torch would look for it. */
export function torchLayout(entries: readonly ZipEntry[]): ArchiveLayout | undefined {
  for (const prefix of prefixes(entries)) {
    const records = new Map<string, ZipEntry>();
    for (const entry of entries) {
      if (entry.name.startsWith(prefix)) records.set(entry.name.slice(prefix.length), entry);
    }
    if (records.has('data.pkl') || records.has('model.json')) return { prefix, records };
  }
  return undefined;
}

/** The first entry's folder, which is torch's rule; then what a program that packed the file again may have left. */
function prefixes(entries: readonly ZipEntry[]): Set<string> {
  const first = entries[0]?.name ?? '';
  const found = new Set<string>([first.slice(0, first.indexOf('/') + 1)]);
  for (const { name } of entries) {
    if (name === 'data.pkl' || name.endsWith('/data.pkl')) found.add(name.slice(0, -'data.pkl'.length));
  }
  return found;
}

/** Whether an archive is TorchScript's: code beside the pickles. */
export function isTorchScript({ records }: ArchiveLayout): boolean {
  if (records.has('constants.pkl') || records.has('bytecode.pkl') || records.has('model.json')) return true;
  return [...records.keys()].some((name) => name.startsWith('code/'));
}
