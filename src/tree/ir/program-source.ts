/** Where a program is in an archive: TorchScript's `code/`, and the JSON of exported programs. */
import type { Checkpoint } from '../../checkpoint/checkpoint.ts';
import type { ZipEntry } from '../../checkpoint/zip/entry.ts';

export interface CodeFile {
  /** The path below `code/`. */
  readonly name: string;
  readonly entry: ZipEntry;
}

/** The archive's source files, without the debugger's files (`.debug_pkl`: pickles of source ranges). */
export function codeFiles({ format, records }: Checkpoint): readonly CodeFile[] {
  if (format !== 'torchscript') return [];
  const files: CodeFile[] = [];
  for (const [record, entry] of records?.below('code/') ?? []) {
    const name = record.slice('code/'.length);
    if (name !== '' && !name.endsWith('/') && !name.endsWith('.debug_pkl')) files.push({ name, entry });
  }
  return files;
}

/** Documents of exported programs by their model's name; `model` is torch's own default. */
export function exportedPrograms({ format, entries, records }: Checkpoint): ReadonlyMap<string, ZipEntry> {
  const programs = new Map<string, ZipEntry>();
  if (format === 'torch-export') {
    for (const [record, entry] of records?.below('models/') ?? []) {
      const name = /^models\/([^/]+)\.json$/.exec(record)?.[1];
      if (name !== undefined) programs.set(name, entry);
    }
  } else if (format === 'zip-bundle') {
    // torch 2.0 to 2.7.
    const entry = entries.find(({ name }) => /^([^/]+\/)?serialized_exported_program\.json$/.test(name));
    if (entry !== undefined) programs.set('model', entry);
  }
  return programs;
}
