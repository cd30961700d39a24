import type { ZipEntry } from '../zip/entry.ts';

/** The parts of a torch archive, by torch's rules: every record lies below the folder that the first entry names. */
export interface ArchiveLayout {
  /** `archive/`, or empty when the entries have no folder. */
  readonly prefix: string;
  /** Entries by their name without the prefix. */
  readonly records: ReadonlyMap<string, ZipEntry>;
}

/** Undefined when neither `data.pkl` nor another description is where torch would look for it. */
export function torchLayout(entries: readonly ZipEntry[]): ArchiveLayout | undefined {
  for (const prefix of prefixes(entries)) {
    const records = new Map<string, ZipEntry>();
    for (const entry of entries) {
      if (entry.name.startsWith(prefix)) records.set(entry.name.slice(prefix.length), entry);
    }
    const layout = { prefix, records };
    if (records.has('data.pkl') || records.has('model.json') || isExportedProgram(layout)) return layout;
  }
  return undefined;
}

/** The folder of the first entry, which is torch's rule; then the places where a program that repacked the file may have put it. */
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

const EXPORT_CONFIG = /^data\/(weights|constants)\/.+_(weights|constants)_config\.json$/;

/** Whether an archive is a `.pt2` whose weights are records of their own. */
export function isExportedProgram({ records }: ArchiveLayout): boolean {
  return exportConfigs({ records }).length > 0;
}

/** The documents that describe an exported program's tensors, weights before constants. */
export function exportConfigs({
  records,
}: Pick<ArchiveLayout, 'records'>): [record: string, entry: ZipEntry][] {
  const configs = [...records].filter(([name]) => EXPORT_CONFIG.test(name));
  return configs.sort(
    ([a], [b]) => Number(a.startsWith('data/constants/')) - Number(b.startsWith('data/constants/')),
  );
}
