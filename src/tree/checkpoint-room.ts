/**
 * /checkpoint: the complete object tree of a training checkpoint. Dicts, objects and lists that contain something larger than a scalar are
 * folders, tensors are the same inodes as in /model, and everything else (scalars, strings, lists of scalars) is a small NAME.json. Keys that
 * name a tensor or a part of a model are split on dots, as in /model.
 *
 * A pickle may contain itself, and may refer to one list a thousand times. An object inside itself becomes a NAME.json that says where the
 * object is. So does an object that was already shown, once the room has REPEATED_ENTRIES entries.
 */

import { jsonDocument, wholeJson } from '../checkpoint/json.ts';
import { PyDict, PyList, PyObject, PySet, PyTuple, type Value } from '../checkpoint/pickle/values.ts';
import type { NamedTensor, Storage, Tensor } from '../checkpoint/tensor.ts';
import { rawStorageContent } from '../checkpoint/tensor-content.ts';
import { isStorage, isTensor, keyText } from '../checkpoint/value-children.ts';
import type { DirectoryInode } from '../inode.ts';
import type { Content } from '../storage/content.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { visibleJson } from '../visible-text.ts';
import { documentContent, inlineContent } from './documents.ts';
import { freeStem, type InodeTable } from './inode-table.ts';
import { escapeKey, pathOfTensorName } from './path-names.ts';
import { storageXattrs, type TensorFiles } from './tensor-files.ts';

const REPEATED_ENTRIES = 100_000;
/** Maximum number of entries besides tensors: a list of millions of numbers with one dict in it would need as many files. */
const MAX_ENTRIES = 200_000;
/** Deeper than any real checkpoint, and deeper than PATH_MAX allows. */
const MAX_DEPTH = 1000;

export interface CheckpointRoomSources {
  readonly files: TensorFiles;
  readonly cache: RenderedPages;
}

interface Place {
  readonly folder: DirectoryInode;
  readonly path: string;
}

export function addCheckpointRoom(
  table: InodeTable,
  room: DirectoryInode,
  root: Value,
  sources: CheckpointRoomSources,
): void {
  const shown = new Map<Value, string>();
  const ancestors = new Set<Value>();
  let entries = 0;
  let omitted = 0;

  const place = (at: Place, key: string, value: Value): void => {
    entries++;
    if (isTensor(value)) {
      placeTensor(at, key, value);
      const { scale, zeroPoint } = value.quantizer ?? {};
      if (typeof scale === 'object') placeTensor(at, `${key}.scales`, scale);
      if (typeof zeroPoint === 'object') placeTensor(at, `${key}.zero_points`, zeroPoint);
      return;
    }
    if (isStorage(value)) {
      placeStorage(at, key, value);
      return;
    }
    if (entries > MAX_ENTRIES) {
      omitted++;
      return;
    }
    const children = childrenOf(value);
    if (children === undefined) {
      addDocument(at, key, () => jsonContent(value));
      return;
    }
    const seen = shown.get(value);
    const repeated = seen !== undefined && (ancestors.has(value) || entries > REPEATED_ENTRIES);
    if (repeated || ancestors.size >= MAX_DEPTH) {
      addJson(at, key, () => `${visibleJson(seen === undefined ? { omitted: true } : { same_as: seen })}\n`);
      return;
    }
    const path = escapeKey(key);
    const folder = table.folderAt(at.folder, path);
    const inside = { folder, path: `${at.path}/${path.join('/')}` };
    if (seen === undefined) shown.set(value, inside.path);
    ancestors.add(value);
    for (const [childKey, child] of children) place(inside, childKey, child);
    ancestors.delete(value);
  };

  const placeTensor = (at: Place, key: string, tensor: Tensor): void => {
    const path = pathOfTensorName(key);
    const stem = path.pop() ?? key;
    const folder = table.folderAt(at.folder, path);
    sources.files.place(folder, stem, tensor);
  };

  /** A storage that was saved by itself: its bytes, unchanged. */
  const placeStorage = (at: Place, key: string, storage: Storage): void => {
    const path = escapeKey(key);
    const name = path.pop() ?? key;
    const folder = table.folderAt(at.folder, path);
    const stem = freeStem(folder, name, ['.bin']);
    table.add(folder, `${stem}.bin`, {
      content: () => rawStorageContent(storage, sources.cache),
      size: storage.nbytes,
      xattrs: () => storageXattrs(storage),
      mode: folder.writable === true && storage.bytes.kind === 'extent' ? 0o644 : 0o444,
    });
  };

  const addJson = (at: Place, key: string, text: () => string) =>
    addDocument(at, key, () => inlineContent(Buffer.from(text())));

  const addDocument = (at: Place, key: string, content: () => Content): void => {
    const path = escapeKey(key);
    const stem = path.pop() ?? key;
    const folder = table.folderAt(at.folder, path);
    table.add(folder, `${freeStem(folder, stem, ['.json'])}.json`, { content });
  };

  const top = { folder: room, path: '/checkpoint' };
  const children = childrenOf(root);
  if (children === undefined) {
    place(top, 'root', root);
    return;
  }
  shown.set(root, top.path);
  ancestors.add(root);
  for (const [key, child] of children) place(top, key, child);
  if (omitted > 0) {
    // Tensors in an omitted part are added like those that no folder leads to.
    const reason = `more than ${MAX_ENTRIES} entries; see sys/checkpoint.json`;
    addJson(top, 'omitted', () => `${visibleJson({ omitted, reason })}\n`);
  }
}

/**
 * Adds tensors that the object tree does not lead to, such as the constants of a script, in folders named after their paths. `<state>` and
 * similar parts of a path are left out.
 */
export function addStrayTensors(
  table: InodeTable,
  room: DirectoryInode,
  tensors: readonly NamedTensor[],
  files: TensorFiles,
): void {
  for (const { path, tensor } of tensors) {
    const parts = path.filter((part) => !/^<.*>$/.test(part)).flatMap(escapeKey);
    const stem = parts.pop() ?? 'tensor';
    const folder = table.folderAt(room, parts);
    files.place(folder, stem, tensor);
  }
}

/** The document is made at once and kept. */
const SMALL_JSON_BYTES = 16 * 1024;

/** A value without tensors, nearly always one or a few numbers. A long one is made in slices, at the first request. */
function jsonContent(value: Value): Content {
  const { text, cut } = wholeJson(value, { maxBytes: SMALL_JSON_BYTES });
  return cut ? documentContent(() => jsonDocument(value)) : inlineContent(Buffer.from(`${text}\n`));
}

/** The named parts of a value that is shown as a folder; undefined for a value that is a document. */
function childrenOf(value: Value): Iterable<readonly [key: string, value: Value]> | undefined {
  if (value instanceof PyDict) return dictChildren(value);
  if (value instanceof PyList || value instanceof PyTuple || value instanceof PySet) {
    return value.items.every(isScalar) ? undefined : numbered(value.items);
  }
  if (value instanceof PyObject) return objectChildren(value);
  return undefined;
}

function* dictChildren(dict: PyDict): Iterable<readonly [string, Value]> {
  for (const [key, value] of dict.entries) yield [keyText(key), value];
}

function* numbered(items: readonly Value[]): Iterable<readonly [string, Value]> {
  let index = 0;
  for (const item of items) yield [String(index++), item];
}

/** An object with attributes or items is a folder of them. An object that is only a call (a dtype, a path) is a document. */
function objectChildren(object: PyObject): Iterable<readonly [string, Value]> | undefined {
  const parts: (readonly [string, Value])[] = [];
  if (object.state instanceof PyDict) parts.push(...dictChildren(object.state));
  else if (object.state !== undefined && object.state !== null && !isScalar(object.state)) {
    parts.push(['__state__', object.state]);
  }
  if (object.dictItems !== undefined) parts.push(...dictChildren(object.dictItems));
  if (object.listItems !== undefined) parts.push(...numbered(object.listItems));
  if (object.args instanceof PyTuple && object.args.items.some((item) => !isScalar(item))) {
    parts.push(['__args__', object.args]);
  }
  return parts.length === 0 || parts.every(([, part]) => isScalar(part)) ? undefined : parts;
}

/** Whether the value fits on one line of a document. */
function isScalar(value: Value): boolean {
  if (value === null || typeof value !== 'object') return true;
  return value.type === 'float' || value.type === 'bytes' || value.type === 'global';
}
