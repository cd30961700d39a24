/**
 * A medium in memory that can lose its power. It has two states: the live one, which every call sees, and the durable one. What lies
 * between them is a list of changes, each made of units that a power loss may keep or drop, every one for itself; `afterCrash` gives the
 * medium that is left with some of them.
 *
 * What is assumed, the same as in medium.ts:
 * - Units of an unsynced write are its 512-byte sectors (of the file, so the first and last may be parts). Any set of them may survive, so
 *   a write is there, not there, or torn anywhere, and a later write may survive an earlier one. An unsynced truncation is one unit.
 * - The size is a unit of its own: a file may have grown although the bytes did not come, and is zeros there.
 * - `sync` (fdatasync) makes the bytes and the size of one file durable as they are when it is called, and no name.
 * - A name that was made, renamed or removed is one unit, a rename of both names at once. Changes of the same name survive in
 *   order; those of different names in any, as file systems without a journal do; `prefixes` in crash-states.ts are those with one.
 * - `syncDirectory` makes the names in one folder durable, those of the folders above it not.
 * - A sync that fails has made nothing durable, and never will: the kernel takes those bytes for written from then on.
 * - A rename or a removal happens whole or not at all.
 */
import { dirname } from 'node:path';
import { type ErrnoName, MlfsError } from '../../src/errors.ts';
import type { Medium, MediumFile } from '../../src/storage/medium.ts';

export const SECTOR_BYTES = 512;

export interface Call {
  /** The first mutating call is number 1. */
  readonly number: number;
  readonly kind:
    | 'create'
    | 'write'
    | 'truncate'
    | 'sync'
    | 'rename'
    | 'remove'
    | 'makeDirectory'
    | 'syncDirectory';
  readonly path: string;
}

/** What becomes of a call: it is carried out, the power goes before it or in its middle, or it fails (a write after half of it). */
export type Fate = 'done' | 'power loss before' | 'power loss during' | { readonly errno: ErrnoName };

interface FileNode {
  readonly kind: 'file';
  /** Neither buffer is ever changed in place: states after a crash share them. */
  live: Buffer;
  durable: Buffer;
}

interface DirectoryNode {
  readonly kind: 'directory';
  readonly live: Map<string, Node>;
  readonly durable: Map<string, Node>;
}

type Node = FileNode | DirectoryNode;

interface NameSetting {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: Node | undefined;
}

type Bytes =
  | { readonly kind: 'write'; readonly file: FileNode; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: FileNode; readonly size: number };

/** A change of bytes; in doubt after a sync that failed, and durable, but on top of what is in doubt, after a later one that did not. */
type BytesChange = Bytes & { state: 'pending' | 'doubtful' | 'durable' };

interface NamesChange {
  readonly kind: 'names';
  readonly settings: readonly NameSetting[];
  readonly state: 'pending';
}

type Change = BytesChange | NamesChange;

/** Which units of a change survive; `grown` is the size that the bytes would have given the file. */
export interface Survival {
  readonly units: readonly boolean[];
  readonly grown: boolean;
}

export class SimulatedMedium implements Medium {
  /** Decides over every mutating call. */
  fate: (call: Call) => Fate = () => 'done';
  /** A sync that failed took the bytes away that it did not write. The page cache may also keep them, which is the default. */
  forgetsAfterFailedSync = false;
  readonly calls: Call[] = [];
  readonly #root: DirectoryNode;
  /** What is not in the durable state yet, oldest first. */
  #changes: Change[] = [];
  #powerless = false;

  constructor(root: DirectoryNode = emptyDirectory()) {
    this.#root = root;
  }

  /** With files whose bytes and names are durable. */
  static holding(files: Readonly<Record<string, Uint8Array>>): SimulatedMedium {
    const medium = new SimulatedMedium();
    for (const [path, bytes] of Object.entries(files)) {
      const directory = medium.#makeDirectories(dirname(path));
      const durable = Buffer.from(bytes);
      setBoth(directory, baseName(path), { kind: 'file', live: durable, durable });
    }
    return medium;
  }

  get powerless(): boolean {
    return this.#powerless;
  }

  /** Ends it as a power loss between two calls does. */
  cutPower(): void {
    this.#powerless = true;
  }

  /** The same medium once more: what happens to one does not happen to the other. */
  copy(): SimulatedMedium {
    const copies = new Map<Node, Node>();
    const copy = (node: Node): Node => {
      const known = copies.get(node);
      if (known !== undefined) return known;
      if (node.kind === 'file') {
        copies.set(node, { ...node });
        return copies.get(node) as Node;
      }
      const made = emptyDirectory();
      copies.set(node, made);
      for (const [name, child] of node.live) made.live.set(name, copy(child));
      for (const [name, child] of node.durable) made.durable.set(name, copy(child));
      return made;
    };
    const medium = new SimulatedMedium(copy(this.#root) as DirectoryNode);
    medium.#changes = this.#changes.map((change) =>
      change.kind === 'names'
        ? {
            ...change,
            settings: change.settings.map(({ directory, name, node }) => ({
              directory: copy(directory) as DirectoryNode,
              name,
              node: node === undefined ? undefined : copy(node),
            })),
          }
        : { ...change, file: copy(change.file) as FileNode },
    );
    medium.#powerless = this.#powerless;
    medium.forgetsAfterFailedSync = this.forgetsAfterFailedSync;
    return medium;
  }

  /** Gives a folder of the root another name, durably and uncounted. */
  moveFolder(from: string, to: string): void {
    for (const names of [this.#root.live, this.#root.durable]) {
      set(names, to, names.get(from));
      names.delete(from);
    }
  }

  /** The machine goes on after its process was killed: what was written is there, and is as durable as before. */
  restart(): void {
    this.#powerless = false;
    this.fate = () => 'done';
    this.calls.length = 0;
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<MediumFile> {
    if (how !== 'create') {
      this.#refusePowerless();
      const node = this.#find(path);
      if (node?.kind !== 'file') throw notFound(path);
      return new SimulatedFile(this, node, path, how === 'write');
    }
    return this.#call('create', path, () => {
      const directory = this.#directoryOf(path);
      if (directory.live.has(baseName(path))) throw failure('EEXIST', path, 'is there already');
      const node: FileNode = { kind: 'file', live: NOTHING, durable: NOTHING };
      this.#setNames([{ directory, name: baseName(path), node }]);
      return new SimulatedFile(this, node, path, true);
    });
  }

  async list(path: string): Promise<string[]> {
    this.#refusePowerless();
    const node = this.#find(path);
    return node?.kind === 'directory' ? [...node.live.keys()].sort() : [];
  }

  async makeDirectory(path: string): Promise<void> {
    if (this.#find(path)?.kind === 'directory') {
      this.#refusePowerless();
      return;
    }
    this.#call('makeDirectory', path, () => {
      const directory = this.#makeDirectories(dirname(path));
      this.#setNames([{ directory, name: baseName(path), node: emptyDirectory() }]);
    });
  }

  async rename(from: string, to: string): Promise<void> {
    this.#call('rename', `${from} → ${to}`, () => {
      const node = this.#find(from);
      if (node === undefined) throw notFound(from);
      const target = this.#find(to);
      if (target?.kind === 'directory') throw failure('EISDIR', to, 'is a folder');
      this.#setNames([
        { directory: this.#directoryOf(from), name: baseName(from), node: undefined },
        { directory: this.#directoryOf(to), name: baseName(to), node },
      ]);
    });
  }

  async remove(path: string): Promise<void> {
    this.#call('remove', path, () => {
      const node = this.#find(path);
      if (node === undefined) throw notFound(path);
      if (node.kind === 'directory' && node.live.size > 0) throw failure('ENOTEMPTY', path, 'is not empty');
      this.#setNames([{ directory: this.#directoryOf(path), name: baseName(path), node: undefined }]);
    });
  }

  async syncDirectory(path: string): Promise<void> {
    this.#call('syncDirectory', path, () => {
      const directory = this.#find(path);
      if (directory?.kind !== 'directory') throw notFound(path);
      const names = this.#changes.filter(isNames);
      const wanted = names.filter(({ settings }) => settings.some((one) => one.directory === directory));
      const durable = new Set<Change>();
      for (const change of wanted) for (const needed of orderedBefore(change, names)) durable.add(needed);
      for (const change of names) if (durable.has(change)) applyNames(change.settings);
      this.#changes = this.#changes.filter((change) => !durable.has(change));
    });
  }

  /** What a file holds now, without being counted; undefined if there is none. */
  bytesOf(path: string): Buffer | undefined {
    const node = this.#find(path);
    return node?.kind === 'file' ? node.live : undefined;
  }

  /** Every path with what is in it, for messages and to tell states apart. */
  files(): Map<string, Buffer | undefined> {
    const found = new Map<string, Buffer | undefined>();
    const walk = (directory: DirectoryNode, path: string) => {
      for (const [name, node] of [...directory.live].sort(([a], [b]) => (a < b ? -1 : 1))) {
        found.set(`${path}/${name}`, node.kind === 'file' ? node.live : undefined);
        if (node.kind === 'directory') walk(node, `${path}/${name}`);
      }
    };
    walk(this.#root, '');
    return found;
  }

  /** How many units each change has that is not durable, oldest first. */
  unsynced(): { readonly kind: Change['kind']; readonly units: number }[] {
    return this.#changes.filter(isUnsynced).map((change) => ({ kind: change.kind, units: unitsOf(change) }));
  }

  /** The medium as it is after a power loss that left these units, in the order of `unsynced`. */
  afterCrash(survivals: readonly Survival[]): SimulatedMedium {
    const bytes = new Map<FileNode, Buffer>();
    const names: NameSetting[] = [];
    const lost: NamesChange[] = [];
    let index = 0;
    for (const change of this.#changes) {
      const survival = isUnsynced(change) ? (survivals[index++] ?? NOTHING_SURVIVES) : wholly(change);
      if (change.kind !== 'names') {
        bytes.set(change.file, survived(bytes.get(change.file) ?? change.file.durable, change, survival));
      } else if (survival.units[0] === true && orderedBefore(change, lost).length === 0) {
        names.push(...change.settings);
      } else {
        lost.push(change);
      }
    }
    return new SimulatedMedium(copied(this.#root, bytes, names));
  }

  /** For the files: counts a mutating call and decides over it. `partly` is what it did when it is interrupted. */
  call<T>(kind: Call['kind'], path: string, task: () => T, partly?: (fate: Fate) => void): T {
    return this.#call(kind, path, task, partly);
  }

  write(file: FileNode, offset: number, bytes: Buffer): void {
    file.live = patched(file.live, offset, bytes);
    this.#changes.push({ kind: 'write', file, offset, bytes, state: 'pending' });
  }

  truncate(file: FileNode, size: number): void {
    file.live = resized(file.live, size);
    this.#changes.push({ kind: 'truncate', file, size, state: 'pending' });
  }

  sync(file: FileNode): void {
    if (this.#changesOf(file).some(({ state }) => state === 'doubtful')) {
      for (const change of this.#changesOf(file)) if (change.state === 'pending') change.state = 'durable';
      return;
    }
    file.durable = file.live;
    this.#changes = this.#changes.filter((change) => change.kind === 'names' || change.file !== file);
  }

  failSync(file: FileNode): void {
    const pending = this.#changesOf(file).filter(({ state }) => state === 'pending');
    for (const change of pending) change.state = 'doubtful';
    if (!this.forgetsAfterFailedSync) return;
    let bytes = file.durable;
    for (const change of this.#changesOf(file)) {
      // What does not come back from the disk is zeros there, the size stays.
      if (change.state === 'durable' || change.kind === 'truncate')
        bytes = survived(bytes, change, wholly(change));
    }
    file.live = resized(bytes, file.live.byteLength);
  }

  refusePowerless(): void {
    this.#refusePowerless();
  }

  #changesOf(file: FileNode): BytesChange[] {
    return this.#changes.filter(
      (change): change is BytesChange => change.kind !== 'names' && change.file === file,
    );
  }

  #call<T>(kind: Call['kind'], path: string, task: () => T, partly?: (fate: Fate) => void): T {
    this.#refusePowerless();
    const call: Call = { number: this.calls.length + 1, kind, path };
    this.calls.push(call);
    const fate = this.fate(call);
    if (fate === 'done') return task();
    if (fate !== 'power loss before') partly?.(fate);
    if (typeof fate !== 'string') throw failure(fate.errno, path, `${kind} failed`);
    this.#powerless = true;
    throw powerLoss(path);
  }

  #refusePowerless(): void {
    if (this.#powerless) throw powerLoss('the medium');
  }

  #setNames(settings: readonly NameSetting[]): void {
    for (const { directory, name, node } of settings) set(directory.live, name, node);
    this.#changes.push({ kind: 'names', settings, state: 'pending' });
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      node = node?.kind === 'directory' ? node.live.get(name) : undefined;
    }
    return node;
  }

  #directoryOf(path: string): DirectoryNode {
    const directory = this.#find(dirname(path));
    if (directory?.kind !== 'directory') throw notFound(path);
    return directory;
  }

  /** Durably, as the real medium does with parents. */
  #makeDirectories(path: string): DirectoryNode {
    let directory = this.#root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      const found = directory.live.get(name);
      if (found?.kind === 'file') throw failure('EEXIST', path, 'is a file');
      const next = found ?? emptyDirectory();
      if (found === undefined) setBoth(directory, name, next);
      directory = next;
    }
    return directory;
  }
}

class SimulatedFile implements MediumFile {
  readonly path: string;
  readonly fd = undefined;
  readonly #medium: SimulatedMedium;
  readonly #node: FileNode;
  readonly #writable: boolean;
  #closed = false;

  constructor(medium: SimulatedMedium, node: FileNode, path: string, writable: boolean) {
    this.#medium = medium;
    this.#node = node;
    this.path = path;
    this.#writable = writable;
  }

  async size(): Promise<number> {
    this.#refuseClosed();
    return this.#node.live.byteLength;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#refuseClosed();
    const { live } = this.#node;
    if (offset + length > live.byteLength) {
      throw new MlfsError(
        'ERR_MLFS_TRUNCATED',
        `${this.path}: bytes ${offset} to ${offset + length} were asked for, but the file ends at byte ${live.byteLength}`,
        { path: this.path },
      );
    }
    return Buffer.from(live.subarray(offset, offset + length));
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    const bytes = Buffer.concat(pieces);
    const half = bytes.subarray(0, Math.ceil(bytes.byteLength / 2));
    this.#change('write', () => this.#medium.write(this.#node, offset, bytes), {
      partly: () => this.#medium.write(this.#node, offset, half),
    });
  }

  async truncate(size: number): Promise<void> {
    this.#change('truncate', () => this.#medium.truncate(this.#node, size));
  }

  async sync(): Promise<void> {
    this.#change('sync', () => this.#medium.sync(this.#node), {
      // When the power goes in its middle, some of what was to be synced is there, as before it.
      partly: (fate) => {
        if (typeof fate !== 'string') this.#medium.failSync(this.#node);
      },
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #change(kind: Call['kind'], task: () => void, { partly }: { partly?: (fate: Fate) => void } = {}): void {
    this.#refuseClosed();
    if (!this.#writable && kind !== 'sync') {
      throw new MlfsError('ERR_MLFS_ACCESS', `${this.path}: was opened for reading`, { path: this.path });
    }
    this.#medium.call(kind, this.path, task, partly);
  }

  #refuseClosed(): void {
    this.#medium.refusePowerless();
    if (this.#closed) throw failure('EIO', this.path, 'was closed');
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
const NOTHING_SURVIVES: Survival = { units: [], grown: false };

function emptyDirectory(): DirectoryNode {
  return { kind: 'directory', live: new Map(), durable: new Map() };
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function set(entries: Map<string, Node>, name: string, node: Node | undefined): void {
  if (node === undefined) entries.delete(name);
  else entries.set(name, node);
}

function setBoth(directory: DirectoryNode, name: string, node: Node): void {
  directory.live.set(name, node);
  directory.durable.set(name, node);
}

function applyNames(settings: readonly NameSetting[]): void {
  for (const { directory, name, node } of settings) set(directory.durable, name, node);
}

function isNames(change: Change): change is NamesChange {
  return change.kind === 'names';
}

function isUnsynced(change: Change): boolean {
  return change.state !== 'durable';
}

/** The changes of names that must have happened for this one: it and those before it of the same names. */
function orderedBefore(change: NamesChange, among: readonly NamesChange[]): NamesChange[] {
  const own = among.indexOf(change);
  const needed = new Set<NamesChange>(own < 0 ? [] : [change]);
  const touched = [...change.settings];
  for (const earlier of among.slice(0, own < 0 ? undefined : own).toReversed()) {
    const shares = earlier.settings.some((a) =>
      touched.some((b) => a.directory === b.directory && a.name === b.name),
    );
    if (!shares) continue;
    needed.add(earlier);
    touched.push(...earlier.settings);
  }
  return [...needed];
}

function unitsOf(change: Change): number {
  return change.kind === 'write' ? Math.max(1, sectorsOf(change.offset, change.bytes.byteLength)) : 1;
}

function sectorsOf(offset: number, length: number): number {
  return Math.ceil((offset + length) / SECTOR_BYTES) - Math.floor(offset / SECTOR_BYTES);
}

function wholly(change: Change): Survival {
  return { units: new Array<boolean>(unitsOf(change)).fill(true), grown: true };
}

/** The file with what survived of a change. */
function survived(before: Buffer, change: BytesChange, { units, grown }: Survival): Buffer {
  if (change.kind === 'truncate') return units[0] === true ? resized(before, change.size) : before;
  const { offset, bytes } = change;
  const end = offset + bytes.byteLength;
  if (bytes.byteLength === 0) return before;
  if (units.length > 0 && units.every((unit) => unit)) return patched(before, offset, bytes);
  let size = grown ? Math.max(before.byteLength, end) : before.byteLength;
  const sectors: { from: number; to: number }[] = [];
  units.forEach((unit, index) => {
    if (!unit) return;
    const sector = (Math.floor(offset / SECTOR_BYTES) + index) * SECTOR_BYTES;
    const to = Math.min(end, sector + SECTOR_BYTES);
    sectors.push({ from: Math.max(offset, sector), to });
    size = Math.max(size, to);
  });
  if (sectors.length === 0 && size === before.byteLength) return before;
  const after = resized(before, size);
  for (const { from, to } of sectors) bytes.copy(after, from, from - offset, to - offset);
  return after;
}

function patched(bytes: Buffer, offset: number, patch: Buffer): Buffer {
  const result = Buffer.alloc(Math.max(bytes.byteLength, offset + patch.byteLength));
  bytes.copy(result);
  patch.copy(result, offset);
  return result;
}

function resized(bytes: Buffer, size: number): Buffer {
  const result = Buffer.alloc(size);
  bytes.copy(result);
  return result;
}

/** A medium of its own with these bytes, and these names on top of the durable ones; all of it durable. */
function copied(
  root: DirectoryNode,
  bytes: ReadonlyMap<FileNode, Buffer>,
  names: readonly NameSetting[],
): DirectoryNode {
  const entries = new Map<DirectoryNode, Map<string, Node>>();
  const entriesOf = (directory: DirectoryNode) => {
    const found = entries.get(directory) ?? new Map(directory.durable);
    entries.set(directory, found);
    return found;
  };
  for (const { directory, name, node } of names) set(entriesOf(directory), name, node);
  const copies = new Map<Node, Node>();
  const copy = (node: Node): Node => {
    const known = copies.get(node);
    if (known !== undefined) return known;
    if (node.kind === 'file') {
      const durable = bytes.get(node) ?? node.durable;
      const made: FileNode = { kind: 'file', live: durable, durable };
      copies.set(node, made);
      return made;
    }
    const made = emptyDirectory();
    copies.set(node, made);
    for (const [name, child] of entriesOf(node)) setBoth(made, name, copy(child));
    return made;
  };
  return copy(root) as DirectoryNode;
}

function powerLoss(path: string): MlfsError {
  return new MlfsError('ERR_MLFS_IO', `${path}: the power is gone`, { path });
}

function notFound(path: string): MlfsError {
  return new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: no such file`, { path });
}

function failure(errno: ErrnoName, path: string, what: string): MlfsError {
  return new MlfsError('ERR_MLFS_IO', `${path}: ${what} (${errno})`, { path, errno });
}
