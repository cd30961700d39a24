import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import type { ParsedCheckpoint, ParseOptions } from '../checkpoint.ts';
import { isScriptObject } from '../modules.ts';
import { listTensors } from '../object-tree.ts';
import { PICKLE_LIMITS } from '../pickle/limits.ts';
import type { Value } from '../pickle/values.ts';
import type { NamedTensor } from '../tensor.ts';
import type { Archive } from '../zip/archive.ts';
import { readEntry } from '../zip/read-entry.ts';
import { type ArchiveLayout, isExportedProgram, isTorchScript } from './archive-layout.ts';
import { embeddedFiles } from './embedded-file.ts';
import { openExportedProgram } from './exported-program.ts';
import { readJsonRecord } from './json-record.ts';
import { namedTensors, readTorchPickle } from './read-torch-pickle.ts';
import { ScriptModel } from './script-v1.ts';
import { StorageMap } from './storage-map.ts';
import { StorageTable, type TorchStorage } from './storage-table.ts';
import { zipStorages } from './zip-storages.ts';

/** Version, byteorder and serialization_id are a few bytes. */
const RECORD_BYTES = 4096;

/**
 * Opens torch's zip container: `data.pkl` over `data/KEY`, and for TorchScript `constants.pkl` and `bytecode.pkl` over
 * their own folders.
 */
export async function openTorchZip(
  image: Image,
  archive: Archive,
  layout: ArchiveLayout,
  options: ParseOptions & { readonly keyPrefix?: string },
): Promise<ParsedCheckpoint> {
  const metadata = await readMetadata(image, layout);
  const byteorder = readByteorder(image.path, metadata.byteorder);
  if (isExportedProgram(layout)) return openExportedProgram(image, archive, layout, metadata, byteorder);
  const script = isTorchScript(layout);
  const tensors: NamedTensor[] = [];
  const storages = new StorageMap<TorchStorage>();
  const unknown = new Set<string>();
  const warnings = [...archive.warnings];
  const values = new Map<string, Value>();
  const model = await scriptModel(image, layout);
  for (const storage of model?.storages.values() ?? []) storages.add(storage);

  for (const name of script ? ['data', 'constants', 'bytecode', 'attributes'] : ['data']) {
    const entry = layout.records.get(`${name}.pkl`);
    if (entry === undefined) continue;
    const place = { path: image.path, entry: entry.name };
    const folders = name === 'data' ? ['data', 'constants'] : [name, 'constants', 'data'];
    const locate = zipStorages(image, layout, folders);
    const table = new StorageTable(place, byteorder, locate, storages, options.keyPrefix);
    const bytes = await readEntry(image, entry, options.limits?.pickleBytes ?? PICKLE_LIMITS.pickleBytes);
    const origin = entry.method === 'stored' ? { image, bytes, offset: entry.offset } : undefined;
    const embedded = origin === undefined ? {} : { loadFromBytes: embeddedFiles(origin, table), origin };
    const pickle = readTorchPickle(bytes, table, {
      ...place,
      limits: options.limits,
      tensorFromId: (id) => model?.tensor(id),
      ...embedded,
    });
    values.set(name, pickle.value);
    for (const global of pickle.unknownGlobals) unknown.add(global);
    const prefix = name === 'data' ? [] : [name];
    for (const named of namedTensors(pickle, place, prefix, warnings)) tensors.push(named);
  }

  const root = values.get('data') ?? model?.root(values.get('attributes')) ?? null;
  if (!values.has('data')) for (const named of listTensors(root, image.path).tensors) tensors.push(named);
  values.delete('data');
  return {
    format: script || isScriptObject(root) ? 'torchscript' : 'torch-zip',
    root,
    ...(values.size > 0 ? { otherPickles: values } : {}),
    tensors,
    storages,
    entries: archive.entries,
    records: layout.records,
    unknownGlobals: [...unknown].sort(),
    warnings,
    metadata,
  };
}

/** The modules of a TorchScript archive before 1.4, which has a `model.json` and no `data.pkl`. */
async function scriptModel(image: Image, layout: ArchiveLayout): Promise<ScriptModel | undefined> {
  const entry = layout.records.get('model.json');
  if (entry === undefined || layout.records.has('data.pkl')) return undefined;
  return new ScriptModel(image, layout, await readJsonRecord(image, entry));
}

/** The small records beside the pickle: what wrote the archive, and how. */
const FACTS: readonly [record: string, fact: string][] = [
  ['version', 'version'],
  ['byteorder', 'byteorder'],
  ['.data/serialization_id', 'serialization_id'],
  ['.format_version', 'format_version'],
  ['.storage_alignment', 'storage_alignment'],
];

async function readMetadata(image: Image, layout: ArchiveLayout): Promise<Record<string, string>> {
  const metadata: Record<string, string> = {};
  for (const [record, fact] of FACTS) {
    const entry = layout.records.get(record);
    if (entry === undefined) continue;
    metadata[fact] = (await readEntry(image, entry, RECORD_BYTES)).toString('utf8').trim();
  }
  return metadata;
}

/** Absent means little: torch wrote the record from 2.1 on. */
function readByteorder(path: string, byteorder: string | undefined): 'little' | 'big' {
  if (byteorder === undefined || byteorder === 'little') return 'little';
  if (byteorder === 'big') return 'big';
  throw new MlfsError(
    'ERR_MLFS_FORMAT',
    `${path}: its byteorder is ${quoteName(byteorder)}, neither little nor big`,
    {
      path,
    },
  );
}
