/**
 * /model: the model's own tensors. Each module is a folder. NAME.bin has a tensor's exact C-order bytes, and NAME.grad lies beside every
 * parameter.
 */

import type { ModelTensor } from '../checkpoint/model.ts';
import type { DirectoryInode } from '../inode.ts';
import type { InodeTable } from './inode-table.ts';
import { escapeKey } from './path-names.ts';
import type { TensorFiles } from './tensor-files.ts';

/** The file name of a bare tensor. */
const NAMELESS = 'tensor';

export function addModelRoom(
  table: InodeTable,
  room: DirectoryInode,
  tensors: readonly ModelTensor[],
  files: TensorFiles,
): void {
  const modules = new ModuleFolders(table, room.nodeid);
  for (const { name, tensor, parameter } of tensors) {
    const dot = name.lastIndexOf('.');
    const path = escapeKey(name === '' && tensors.length === 1 ? NAMELESS : name.slice(dot + 1));
    const stem = path.pop() ?? NAMELESS;
    const folder = table.folderBelow(modules.of(name, dot), path);
    files.call(files.place(folder, stem, tensor, parameter ? name : undefined), name);
  }
}

/** Finds the folders of modules. Consecutive tensors share the walk to the folder in which their paths part. */
class ModuleFolders {
  readonly #table: InodeTable;
  readonly #room: number;
  #previous = '';
  /** Where the parts of the previous tensor's module end, each with the folder that it leads to. */
  readonly #ends: number[] = [];
  readonly #folders: number[] = [];

  constructor(table: InodeTable, room: number) {
    this.#table = table;
    this.#room = room;
  }

  /** `end`: the index of the last dot of a tensor's name, -1 if there is none. */
  of(name: string, end: number): number {
    const common = commonLength(this.#previous, name);
    let depth = this.#ends.length;
    // A part is the same if the dot behind it is.
    while (depth > 0 && (this.#ends[depth - 1] as number) >= common) depth--;
    this.#ends.length = depth;
    this.#folders.length = depth;
    this.#previous = name;
    let folder = this.#folders[depth - 1] ?? this.#room;
    let from = depth === 0 ? 0 : (this.#ends[depth - 1] as number) + 1;
    while (from <= end) {
      const dot = name.indexOf('.', from);
      folder = this.#table.folderBelow(folder, escapeKey(name.slice(from, dot)));
      this.#ends.push(dot);
      this.#folders.push(folder);
      from = dot + 1;
    }
    return folder;
  }
}

/** How many characters two texts begin with alike. */
function commonLength(one: string, other: string): number {
  const most = Math.min(one.length, other.length);
  let length = 0;
  while (length < most && one.charCodeAt(length) === other.charCodeAt(length)) length++;
  return length;
}
