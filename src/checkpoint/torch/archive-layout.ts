import type { Archive } from '../zip/archive.ts';
import type { ZipEntry } from '../zip/entry.ts';

/** The parts of a torch archive, by torch's rules: every record lies below the folder that the first entry names. */
export interface ArchiveLayout {
  /** `archive/`, or empty when the entries have no folder. */
  readonly prefix: string;
  readonly records: ArchiveRecords;
}

type Entries = Pick<Archive, 'entries' | 'names'>;

/** The entries below a folder of an archive, by their names without the folder. */
export class ArchiveRecords {
  readonly #archive: Entries;
  readonly #prefix: string;

  constructor(archive: Entries, prefix: string) {
    this.#archive = archive;
    this.#prefix = prefix;
  }

  get(record: string): ZipEntry | undefined {
    const index = this.#archive.names.find(this.#prefix, record);
    return index < 0 ? undefined : this.#archive.entries[index];
  }

  has(record: string): boolean {
    return this.#archive.names.find(this.#prefix, record) >= 0;
  }

  /** The entries below a folder of this one. */
  in(folder: string): ArchiveRecords {
    return new ArchiveRecords(this.#archive, this.#prefix + folder);
  }

  /** The records below a folder, such as `code/`, in the order of the archive. */
  *below(folder: string): Generator<[record: string, entry: ZipEntry]> {
    const { entries, names } = this.#archive;
    const start = this.#prefix + folder;
    for (let index = 0; index < entries.length; index++) {
      if (!names.startsWith(index, start)) continue;
      const entry = entries[index] as ZipEntry;
      yield [entry.name.slice(this.#prefix.length), entry];
    }
  }
}

/** Undefined when neither `data.pkl` nor another description is where torch would look for it. */
export function torchLayout(archive: Entries): ArchiveLayout | undefined {
  for (const prefix of prefixes(archive)) {
    const records = new ArchiveRecords(archive, prefix);
    const layout = { prefix, records };
    if (records.has('data.pkl') || records.has('model.json') || isExportedProgram(layout)) return layout;
  }
  return undefined;
}

/** The folder of the first entry, which is torch's rule; then the places where a program that repacked the file may have put it. */
function prefixes({ entries, names }: Entries): Set<string> {
  const first = entries[0]?.name ?? '';
  const found = new Set<string>([first.slice(0, first.indexOf('/') + 1)]);
  for (let index = 0; index < entries.length; index++) {
    if (!names.endsWith(index, 'data.pkl')) continue;
    const name = names.text(index);
    if (name === 'data.pkl' || name.endsWith('/data.pkl')) found.add(name.slice(0, -'data.pkl'.length));
  }
  return found;
}

/** Whether an archive is TorchScript's: code beside the pickles. */
export function isTorchScript({ records }: ArchiveLayout): boolean {
  if (records.has('constants.pkl') || records.has('bytecode.pkl') || records.has('model.json')) return true;
  return records.below('code/').next().done === false;
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
  return ['data/weights/', 'data/constants/'].flatMap((folder) =>
    [...records.below(folder)].filter(([name]) => EXPORT_CONFIG.test(name)),
  );
}
