import { errno } from '../errors.ts';
import type { Attr } from '../fuse/filesystem.ts';
import { visibleLines } from '../visible-text.ts';
import { Call, type CallFile } from './call.ts';

/** Each folder has eight nodeids: itself and its files. */
const FOLDER_IDS = 8;
const PARTS = ['folder', 'input', 'output', 'answer', 'status', 'error'] as const;
export type Part = (typeof PARTS)[number];

const MOST_FOLDERS = 4096;

/** The folder of a call. */
export interface CallFolder {
  readonly number: number;
  readonly name: string;
  readonly call: Call;
  readonly uid: number;
  readonly gid: number;
  /** The full name of the input: `input.npy`. */
  inputName: string | undefined;
  /** The name of the output: `output.npy` for `input.npy`, `output.json` for `input.json`. */
  outputName: string;
  /** Made for a descriptor of `call.npy`: only the worker sees it. */
  readonly hidden: boolean;
}

export interface CallFoldersOptions {
  /** All nodeids of the folders are below it. */
  readonly nodeidLimit: number;
  readonly makeFile: (uid: number) => CallFile;
}

/** The folders in /rpc, with the names and nodeids of their files. */
export class CallFolders {
  readonly #options: CallFoldersOptions;
  readonly #byName = new Map<string, CallFolder>();
  readonly #byNumber = new Map<number, CallFolder>();
  #last = 0;

  constructor(options: CallFoldersOptions) {
    this.#options = options;
  }

  get all(): Iterable<CallFolder> {
    return this.#byName.values();
  }

  named(name: string): CallFolder | undefined {
    return this.#byName.get(name);
  }

  /** Throws ENOSPC. No folder may have that name. */
  make(name: string, { uid, gid }: { readonly uid: number; readonly gid: number }): CallFolder {
    return this.#add(name, uid, gid, false);
  }

  /** Makes a folder that is not listed. */
  makeHidden({ uid, gid }: { readonly uid: number; readonly gid: number }): CallFolder {
    let count = this.#last + 1;
    // A caller may have made a folder of that name.
    while (this.#byName.has(`call-${count}`)) count++;
    return this.#add(`call-${count}`, uid, gid, true);
  }

  #add(name: string, uid: number, gid: number, hidden: boolean): CallFolder {
    if (this.#byName.size >= MOST_FOLDERS) throw errno('ENOSPC', `${MOST_FOLDERS} calls exist already`);
    const number = this.#last + 1;
    if (nodeidOf(number + 1, 'folder') >= this.#options.nodeidLimit)
      throw errno('ENOSPC', 'this mount has no nodeids left for more calls');
    this.#last = number;
    const call = new Call(name, () => this.#options.makeFile(uid));
    const folder = { number, name, call, uid, gid, inputName: undefined, outputName: 'output.npy', hidden };
    this.#byName.set(name, folder);
    this.#byNumber.set(number, folder);
    return folder;
  }

  remove(folder: CallFolder): void {
    this.#byName.delete(folder.name);
    this.#byNumber.delete(folder.number);
  }

  /** Throws ENOTDIR for a file, ESTALE for a folder that no longer exists. */
  folderAt(nodeid: number): CallFolder {
    const { folder, part } = this.partAt(nodeid);
    if (part !== 'folder') throw errno('ENOTDIR');
    return folder;
  }

  /** Throws ESTALE. */
  partAt(nodeid: number): { folder: CallFolder; part: Part } {
    const folder = this.#byNumber.get(Math.floor(nodeid / FOLDER_IDS));
    const part = PARTS[nodeid % FOLDER_IDS];
    if (folder === undefined || part === undefined) throw errno('ESTALE', `there is no inode ${nodeid}`);
    return { folder, part };
  }
}

export function nodeidOf(number: number, part: Part): number {
  return number * FOLDER_IDS + PARTS.indexOf(part);
}

/** The nodeid of a name in a call's folder. */
export function nodeidIn({ number, inputName, outputName }: CallFolder, name: string): number | undefined {
  if (name === inputName) return nodeidOf(number, 'input');
  if (name === outputName) return nodeidOf(number, 'output');
  if (name === 'answer' || name === 'status' || name === 'error') return nodeidOf(number, name);
  return undefined;
}

/** The listed names. An output is listed when it can be read; before that, opening it by name waits for it. */
export function namesIn({ inputName, outputName, call }: CallFolder): string[] {
  return [
    ...(inputName === undefined ? [] : [inputName]),
    ...(call.state === 'done' ? [outputName] : []),
    'status',
    'error',
    'answer',
  ];
}

/** The contents of `status` or `error`. */
export function textOf({ call }: CallFolder, part: 'status' | 'error'): Buffer {
  if (part === 'status') return Buffer.from(`${call.state}\n`);
  return Buffer.from(call.error === '' ? '' : `${visibleLines(call.error)}\n`);
}

/** The folder belongs to its caller; the files that a worker writes belong to `workersUid`. */
export function attrOf(folder: CallFolder, part: Part, workersUid: number): Attr {
  const { number, call, uid, gid } = folder;
  const nodeid = nodeidOf(number, part);
  const own = { nodeid, nlink: 1, uid, gid, mtimeMs: call.changedMs };
  switch (part) {
    case 'folder':
      return { ...own, kind: 'directory', mode: 0o755, size: 0 };
    case 'input':
      return { ...own, kind: 'file', mode: 0o644, size: call.input.size() };
    case 'output': {
      const size = call.state === 'done' ? call.output.size() : 0;
      return { ...own, uid: workersUid, kind: 'file', mode: 0o644, size };
    }
    case 'answer':
      return { ...own, uid: workersUid, kind: 'file', mode: 0o644, size: 0 };
    default:
      return { ...own, kind: 'file', mode: 0o444, size: textOf(folder, part).length };
  }
}
