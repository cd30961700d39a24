import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import type { ParsedCheckpoint, ParseOptions } from '../checkpoint.ts';
import { refuseArchive } from '../foreign.ts';
import { PyDict } from '../pickle/values.ts';
import type { NamedTensor, Storage } from '../tensor.ts';
import { type Archive, readArchive } from '../zip/archive.ts';
import type { ZipEntry } from '../zip/entry.ts';
import { entryNamed } from '../zip/entry-table.ts';
import { torchLayout } from './archive-layout.ts';
import { StorageMap } from './storage-map.ts';
import { openTorchZip } from './zip-checkpoint.ts';

/** Inner archives that are opened; a bundle of stable-baselines3 has three. */
const MAX_PARTS = 256;

/**
 * Opens a plain zip with torch files in it, as stable-baselines3 writes and older `.pt2` files are. An inner file that is stored
 * is opened where it lies; a compressed one cannot be, and is a warning.
 */
export async function openBundle(
  image: Image,
  archive: Archive,
  options: ParseOptions,
): Promise<ParsedCheckpoint> {
  const root = new PyDict();
  const tensors: NamedTensor[] = [];
  const storages = new StorageMap<Storage>();
  const entries = [...archive.entries];
  const unknown = new Set<string>();
  const warnings = [...archive.warnings];
  const metadata: Record<string, string> = {};

  for (const outer of archive.entries) {
    if (outer.method === 'deflated' && /\.(pt|pth|pkl|ckpt|bin)$/.test(outer.name)) {
      warnings.push(compressedPart(image.path, outer));
    }
    if (root.entries.length >= MAX_PARTS || !(await isStoredZip(image, outer))) continue;
    const inner = await readArchive(image, { offset: outer.offset, length: outer.size });
    const layout = torchLayout(inner);
    if (layout === undefined) continue;
    const part = await openTorchZip(image, inner, layout, { ...options, keyPrefix: `${outer.name}/` });
    root.set(outer.name, part.root);
    for (const { path, tensor } of part.tensors) tensors.push({ path: [outer.name, ...path], tensor });
    for (const storage of part.storages.values()) storages.add(storage);
    for (const entry of inner.entries) entries.push(entryNamed(`${outer.name}/${entry.name}`, entry));
    for (const name of part.unknownGlobals) unknown.add(name);
    for (const warning of part.warnings) warnings.push(warning);
    for (const [fact, value] of Object.entries(part.metadata)) metadata[`${outer.name}/${fact}`] = value;
  }
  if (root.entries.length === 0) throw noCheckpoint(image.path, archive.entries);
  return {
    format: 'zip-bundle',
    root,
    tensors,
    storages,
    entries,
    unknownGlobals: [...unknown].sort(),
    warnings,
    metadata,
  };
}

async function isStoredZip(image: Image, entry: ZipEntry): Promise<boolean> {
  if (entry.method !== 'stored' || entry.size < 22) return false;
  return (await image.read(entry.offset, 4)).equals(Buffer.from('PK\x03\x04', 'latin1'));
}

function compressedPart(path: string, entry: ZipEntry): MlfsError {
  return new MlfsError(
    'ERR_MLFS_ZIP_METHOD',
    `${path}: entry ${quoteName(entry.name)} is compressed; what is inside it cannot be read in place`,
    { path, advice: 'Unpack the archive and open the inner file.' },
  );
}

function noCheckpoint(path: string, entries: readonly ZipEntry[]): MlfsError {
  const known = refuseArchive(
    path,
    entries.map(({ name }) => name),
  );
  if (known !== undefined) return known;
  const names = entries.slice(0, 4).map((entry) => quoteName(entry.name));
  const what =
    entries.length === 0 ? 'an empty zip archive' : 'a zip archive without a torch checkpoint in it';
  const shown =
    names.length === 0
      ? ''
      : `: there is no data.pkl, but ${names.join(', ')}${entries.length > 4 ? ', …' : ''}`;
  return new MlfsError('ERR_MLFS_FORMAT', `${path}: is ${what}${shown}`, {
    path,
    ...(entries.some(({ method }) => method === 'deflated')
      ? { advice: 'If the checkpoint is one of its compressed files: unpack it, and open that.' }
      : {}),
  });
}
