/**
 * /checkpoint: the complete object tree of a training checkpoint. Dicts, objects and lists that contain something larger than a scalar are
 * folders, tensors are the same inodes as in /model, and everything else (scalars, strings, lists of scalars) is a small NAME.json. Keys that
 * name a tensor or a part of a model are split on dots, as in /model.
 *
 * A pickle may contain itself, and may refer to one list a thousand times. An object inside itself becomes a NAME.json that says where the
 * object is. So does an object that was already shown, once the room has REPEATED_ENTRIES entries.
 */

import { jsonDocument, SHOWN_BYTES, wholeJson } from '../checkpoint/json.ts';
import { describedData } from '../checkpoint/numpy/described.ts';
import { dataBytes, scalarData } from '../checkpoint/numpy/scalar.ts';
import {
  PyBytes,
  PyDict,
  PyGlobal,
  PyList,
  PyObject,
  PySet,
  PyTuple,
  type Value,
} from '../checkpoint/pickle/values.ts';
import type { NamedTensor, Storage, Tensor } from '../checkpoint/tensor.ts';
import { rawStorageContent } from '../checkpoint/tensor-content.ts';
import { isPlumbing, isStorage, isTensor, keyText } from '../checkpoint/value-children.ts';
import type { DirectoryInode } from '../inode.ts';
import type { Content } from '../storage/content.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { visibleJson } from '../visible-text.ts';
import { documentContent, inlineContent } from './documents.ts';
import type { InodeTable } from './inode-table.ts';
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
  /** The nodeid. */
  readonly folder: number;
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
      placeDocument(at, key, value);
      return;
    }
    const seen = shown.get(value);
    const repeated = seen !== undefined && (ancestors.has(value) || entries > REPEATED_ENTRIES);
    if (repeated || ancestors.size >= MAX_DEPTH) {
      addJson(at, key, () => `${visibleJson(seen === undefined ? { omitted: true } : { same_as: seen })}\n`);
      return;
    }
    const path = escapeKey(key);
    const folder = table.folderBelow(at.folder, path);
    const inside = { folder, path: `${at.path}/${path.join('/')}` };
    if (seen === undefined) shown.set(value, inside.path);
    ancestors.add(value);
    for (const [childKey, child] of children) place(inside, childKey, child);
    ancestors.delete(value);
  };

  const placeTensor = (at: Place, key: string, tensor: Tensor): void => {
    const path = pathOfTensorName(key);
    const stem = path.pop() ?? key;
    const folder = table.folderBelow(at.folder, path);
    sources.files.place(folder, stem, tensor);
  };

  /** A storage that was saved by itself: its bytes, unchanged. */
  const placeStorage = (at: Place, key: string, storage: Storage): void => {
    const path = escapeKey(key);
    const name = path.pop() ?? key;
    const folder = table.folderBelow(at.folder, path);
    const [bin] = table.freeNames(folder, name, ['.bin']);
    table.addNamed(folder, bin as number, {
      content: () => rawStorageContent(storage, sources.cache),
      size: storage.nbytes,
      isCheap: true,
      xattrs: () => storageXattrs(storage),
      mode: table.isWritable(folder) && storage.bytes.kind === 'extent' ? 0o644 : 0o444,
    });
  };

  /** What has bytes that its document does not show has them beside it. */
  const placeDocument = (at: Place, key: string, value: Value): void => {
    const bytes = longBytes(value);
    if (bytes === undefined) {
      addDocument(at, key, () => jsonContent(value));
      return;
    }
    const path = escapeKey(key);
    const name = path.pop() ?? key;
    const folder = table.folderBelow(at.folder, path);
    const [json, bin] = table.freeNames(folder, name, ['.json', '.bin']);
    table.addNamed(folder, json as number, { content: () => jsonContent(value) });
    table.addNamed(folder, bin as number, { content: () => bytesContent(bytes()) });
  };

  const addJson = (at: Place, key: string, text: () => string) =>
    addDocument(at, key, () => inlineContent(Buffer.from(text())));

  const addDocument = (at: Place, key: string, content: () => Content): void => {
    const path = escapeKey(key);
    const stem = path.pop() ?? key;
    const folder = table.folderBelow(at.folder, path);
    const [json] = table.freeNames(folder, stem, ['.json']);
    table.addNamed(folder, json as number, { content });
  };

  const top = { folder: room.nodeid, path: '/checkpoint' };
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
 * Adds tensors that the object tree does not lead to, such as the constants of a script, in folders named after their paths, without the
 * steps that only the pickle needs.
 */
export function addStrayTensors(
  table: InodeTable,
  room: DirectoryInode,
  tensors: readonly NamedTensor[],
  files: TensorFiles,
): void {
  for (const { path, tensor } of tensors) {
    const parts = path.filter((part) => !isPlumbing(part)).flatMap(escapeKey);
    const stem = parts.pop() ?? 'tensor';
    const folder = table.folderBelow(room.nodeid, parts);
    files.place(folder, stem, tensor);
  }
}

/** The document is made at once and kept. */
const SMALL_JSON_BYTES = 16 * 1024;

/** A value without tensors, nearly always one or a few numbers. A long one is made in slices, at the first request. */
function jsonContent(value: Value): Content {
  const { text, cut } = wholeJson(value, { maxBytes: SMALL_JSON_BYTES, plainScalars: true });
  return cut
    ? documentContent(() => jsonDocument(value, { plainScalars: true }))
    : inlineContent(Buffer.from(`${text}\n`));
}

/** The bytes of a value that is a document, when they are more than the document shows. */
function longBytes(value: Value): (() => Uint8Array) | undefined {
  const data = value instanceof PyBytes ? value : numpyData(value);
  if (data === undefined || lengthOf(data) <= SHOWN_BYTES) return undefined;
  return () => dataBytes(data) ?? new Uint8Array(0);
}

/** The bytes of a NumPy scalar, or of an array that is no tensor. */
function numpyData(value: Value): PyBytes | string | undefined {
  return value instanceof PyObject ? (scalarData(value) ?? describedData(value)) : undefined;
}

/** Python 2's bytes may be a text, which has as many bytes at least. */
function lengthOf(data: PyBytes | string): number {
  return typeof data === 'string' ? data.length : data.bytes.length;
}

function bytesContent(bytes: Uint8Array): Content {
  return {
    kind: 'rendered',
    size: bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** The named parts of a value that is shown as a folder; undefined for a value that is a document. */
function childrenOf(value: Value): Iterable<readonly [key: string, value: Value]> | undefined {
  if (value instanceof PyDict) return dictChildren(value);
  if (value instanceof PyList || value instanceof PyTuple || value instanceof PySet) {
    return value.items.every(isScalar) ? undefined : numbered(value.items);
  }
  if (!(value instanceof PyObject) || numpyData(value) !== undefined) return undefined;
  return objectChildren(value);
}

/** A dict's class is a part of it unless it is one of those that state dicts are. */
function* dictChildren(dict: PyDict): Iterable<readonly [string, Value]> {
  const { className, attributes } = dict;
  if (className !== undefined && className !== 'collections.OrderedDict') yield [CLASS, className];
  for (const [key, value] of dict.entries) yield [keyText(key), value];
  // torch's own: a version for each module.
  if (attributes?.entries.some(([key]) => key !== '_metadata')) yield ['__state__', attributes];
}

function* numbered(items: readonly Value[]): Iterable<readonly [string, Value]> {
  let index = 0;
  for (const item of items) yield [String(index++), item];
}

const CLASS = '__class__';

/**
 * An object with parts that do not fit on a line is a folder of its attributes and items, and of what it was made with: the class, its
 * arguments, and a state that is no dict. One that is only a call (a dtype, a path) is a document, which says all of this.
 */
function objectChildren(object: PyObject): Iterable<readonly [string, Value]> | undefined {
  const { callable, args, kwargs, state, dictItems, listItems } = object;
  const parts: (readonly [string, Value])[] = [];
  // One by one: as arguments of a call they would have to fit on the stack.
  const addAll = (children: Iterable<readonly [string, Value]>) => {
    for (const child of children) parts.push(child);
  };
  if (!(callable instanceof PyGlobal)) parts.push([CLASS, callable]);
  if (state instanceof PyDict) addAll(dictChildren(state));
  else if (state !== undefined && state !== null) parts.push(['__state__', state]);
  if (dictItems !== undefined) addAll(dictChildren(dictItems));
  if (listItems !== undefined) addAll(numbered(listItems));
  const given: (readonly [string, Value])[] = [];
  if (!(args instanceof PyTuple) || args.items.length > 0) given.push(['__args__', args]);
  if (kwargs !== undefined) given.push(['__kwargs__', kwargs]);
  if (parts.every(([, part]) => isScalar(part)) && given.every(([, part]) => isLine(part))) return undefined;
  return [...(callable instanceof PyGlobal ? [[CLASS, callable.path] as const] : []), ...parts, ...given];
}

/** Arguments that are scalars all of them. */
function isLine(value: Value): boolean {
  return value instanceof PyTuple ? value.items.every(isScalar) : isScalar(value);
}

/** Whether the value fits on one line of a document. */
function isScalar(value: Value): boolean {
  if (value === null || typeof value !== 'object') return true;
  if (value.type === 'float' || value.type === 'global') return true;
  const data = value instanceof PyBytes ? value : scalarData(value);
  return data !== undefined && lengthOf(data) <= SHOWN_BYTES;
}
