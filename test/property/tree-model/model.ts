/** What a mount promises, as plainly as it can be said: the tensors' storages, the gradients, the scratch files, and who has what open. */
import type { Between } from './client.ts';
import { type Answer, DONE, type Operation, SLOTS } from './operation.ts';

interface Tensor {
  readonly kind: 'tensor';
  readonly storage: string;
  /** Where each byte of the file lies in its storage. */
  readonly places: readonly number[];
  readonly writable: boolean;
}

/** A gradient or a scratch file. */
interface Plain {
  readonly kind: 'plain';
  /** Undefined for a scratch file. */
  readonly maxSize: number | undefined;
  bytes: Buffer;
  /** It was renamed over a tensor: what its descriptors show then is another matter. */
  spent: boolean;
}

interface Folder {
  readonly kind: 'folder';
  readonly scratch: boolean;
  readonly children: Map<string, Node>;
}

type Node = Tensor | Plain | Folder;

interface Open {
  readonly node: Tensor | Plain;
  readonly readable: boolean;
  readonly writable: boolean;
  /** The bytes of a replacement. */
  stage: Buffer | undefined;
  /** The copy was begun by ftruncate, not by O_TRUNC. */
  cut: boolean;
  /** Closing it changes nothing, because nothing was written since it was opened with O_TRUNC. */
  idle: boolean;
  /** The file's name was removed while it was open: a replacement has no effect. */
  removed: boolean;
}

const TENSOR_BYTES = 24;

/** A text that may be a number has up to so many bytes, and the tensors here have fewer. */
const STAGE_BYTES = 64;

/** The storages of the checkpoint and the tensors over them, as `checkpoint.ts` writes them. */
const VIEWS: Readonly<Record<string, Omit<Tensor, 'kind'>>> = {
  a: { storage: '0', places: range(0, TENSOR_BYTES), writable: true },
  b: { storage: '0', places: range(8, TENSOR_BYTES), writable: true },
  // [4, 6] of [6, 4] rows.
  t: { storage: '0', places: range(0, 24).map((at) => (at % 6) * 4 + Math.floor(at / 6)), writable: true },
  c: { storage: '1', places: range(0, TENSOR_BYTES), writable: true },
  e: { storage: '1', places: range(0, 24).map((at) => at % 8), writable: false },
};

export class Refused extends Error {
  readonly errno: string;

  constructor(errno: string) {
    super(errno);
    this.errno = errno;
  }
}

export class Model {
  #storages: Map<string, Buffer>;
  #committed: Map<string, Buffer>;
  readonly #between: Between;
  readonly #model: Folder = { kind: 'folder', scratch: false, children: new Map() };
  /** Tensors and gradients that were removed and not made again. */
  readonly #removed = new Set<Node>();
  #open: (Open | undefined)[] = [];

  constructor(storages: ReadonlyMap<string, Buffer>, between: Between) {
    this.#between = between;
    this.#storages = copied(storages);
    this.#committed = copied(storages);
    for (const [name, view] of Object.entries(VIEWS)) {
      this.#model.children.set(`${name}.bin`, { kind: 'tensor', ...view });
      this.#model.children.set(`${name}.grad`, {
        kind: 'plain',
        maxSize: view.places.length,
        bytes: Buffer.alloc(0),
        spent: false,
      });
    }
  }

  /** What the checkpoint file holds. */
  get committed(): ReadonlyMap<string, Buffer> {
    return this.#committed;
  }

  /** What the operation answers, or undefined when nothing is promised: then it is not to be done. */
  perform(operation: Operation): Answer | undefined {
    try {
      return this.#perform(operation);
    } catch (cause) {
      if (cause instanceof Refused) return { errno: cause.errno };
      throw cause;
    }
  }

  #perform(operation: Operation): Answer | undefined {
    switch (operation.do) {
      case 'open':
        return this.#opened(operation);
      case 'commit':
        this.#committed = copied(this.#storages);
        return DONE;
      case 'discard':
        this.#storages = copied(this.#committed);
        return DONE;
      case 'remount':
        this.#open = [];
        this.#removed.clear();
        forgetScratch(this.#model);
        return DONE;
      case 'truncate':
      case 'rename':
      case 'unlink':
      case 'mkdir':
      case 'rmdir':
      case 'list':
      case 'size':
      case 'content':
        return this.#byPath(operation);
      default: {
        const open = this.#open[operation.slot];
        if (open === undefined) return undefined;
        const spent = open.node.kind === 'plain' && open.node.spent;
        return spent && operation.do !== 'close' ? undefined : this.#bySlot(operation, open);
      }
    }
  }

  /** Closes every slot, so that nothing is under way. */
  closings(): Operation[] {
    return Array.from({ length: SLOTS }, (_, slot) => ({ do: 'close' as const, slot }));
  }

  #opened({ slot, path, access, truncate, create }: Operation & { do: 'open' }): Answer | undefined {
    if (this.#open[slot] !== undefined || (truncate && access === 'read')) return undefined;
    const { parent, name } = this.#place(path);
    let node = parent.children.get(name);
    if (node !== undefined && this.#removed.has(node)) {
      if (!create) throw new Refused('ENOENT');
    }
    const replaces = (node !== undefined && this.#removed.delete(node)) || truncate;
    if (node === undefined) {
      if (!create) throw new Refused('ENOENT');
      node = { kind: 'plain', maxSize: undefined, bytes: Buffer.alloc(0), spent: false };
      parent.children.set(name, node);
    }
    if (node.kind === 'folder') return undefined;
    const writable = access !== 'read';
    if (writable && node.kind === 'tensor' && !node.writable) throw new Refused('EPERM');
    const stage = replaces && node.kind === 'tensor' ? Buffer.alloc(0) : undefined;
    if (replaces && node.kind === 'plain') node.bytes = Buffer.alloc(0);
    this.#open[slot] = {
      node,
      readable: access !== 'write',
      writable,
      stage,
      cut: false,
      idle: stage !== undefined,
      removed: false,
    };
    return DONE;
  }

  #bySlot(
    operation: Extract<Operation, { do: 'close' | 'fsync' | 'read' | 'write' | 'ftruncate' }>,
    open: Open,
  ): Answer | undefined {
    const { node } = open;
    switch (operation.do) {
      case 'fsync':
        return DONE;
      case 'close':
        this.#open[operation.slot] = undefined;
        if (open.stage !== undefined && !open.idle && !open.removed)
          this.#replace(node as Tensor, open.stage);
        return DONE;
      case 'read': {
        if (!open.readable || ((open.stage === undefined || open.cut) && this.#isMixed(node)))
          return undefined;
        const content = open.stage ?? this.#content(node);
        return {
          value: content.subarray(operation.offset, operation.offset + operation.length).toString('hex'),
        };
      }
      case 'write': {
        if (!open.writable) return undefined;
        const bytes = Buffer.from(operation.bytes, 'hex');
        const end = operation.offset + bytes.length;
        const limit = open.stage === undefined ? sizeLimit(node) : STAGE_BYTES;
        if (end > (limit ?? Number.POSITIVE_INFINITY)) throw new Refused('EFBIG');
        if (open.stage !== undefined) {
          open.stage = overwritten(open.stage, operation.offset, bytes);
          open.idle = false;
        } else if (node.kind === 'tensor') this.#write(node, operation.offset, bytes);
        else node.bytes = overwritten(node.bytes, operation.offset, bytes);
        return { value: bytes.length };
      }
      case 'ftruncate':
        if (!open.writable) return undefined;
        return this.#truncated(node, operation.size, open);
    }
  }

  #byPath(operation: Extract<Operation, { path: string }>): Answer | undefined {
    if (operation.path === '/model') return { value: this.#listed(this.#model) };
    const { parent, name } = this.#place(operation.path);
    const node = parent.children.get(name);
    if (operation.do === 'mkdir') {
      if (node !== undefined) {
        this.#removed.delete(node);
        throw new Refused('EEXIST');
      }
      parent.children.set(name, { kind: 'folder', scratch: true, children: new Map() });
      return DONE;
    }
    // As rename(2): both folders are found before the names in them.
    if (operation.do === 'rename') this.#place(operation.to);
    if (node === undefined || this.#removed.has(node)) throw new Refused('ENOENT');
    switch (operation.do) {
      case 'list':
        return node.kind === 'folder' ? { value: this.#listed(node) } : undefined;
      case 'size':
        return node.kind === 'folder' ? undefined : { value: this.#content(node).length };
      case 'content':
        return node.kind === 'folder' || this.#isMixed(node)
          ? undefined
          : { value: this.#content(node).toString('hex') };
      case 'truncate':
        return node.kind === 'folder' ? undefined : this.#truncated(node, operation.size, undefined);
      case 'rmdir':
        if (node.kind !== 'folder') throw new Refused('ENOTDIR');
        if (node.children.size > 0) throw new Refused('ENOTEMPTY');
        parent.children.delete(name);
        return DONE;
      case 'unlink':
        if (node.kind === 'folder') throw new Refused('EISDIR');
        if (isScratch(node)) {
          parent.children.delete(name);
          return DONE;
        }
        if (node.kind === 'tensor' && !node.writable) throw new Refused('EPERM');
        if (this.#between.removedNamesReturn) return undefined;
        this.#removed.add(node);
        for (const open of this.#open) if (open?.node === node) open.removed = true;
        return DONE;
      case 'rename':
        return this.#renamed(operation, parent, name, node);
      default:
        return undefined;
    }
  }

  #renamed(
    { path, to }: { path: string; to: string },
    parent: Folder,
    name: string,
    node: Node,
  ): Answer | undefined {
    const target = this.#place(to);
    if (path === to) return DONE;
    if (node.kind === 'folder') {
      // Renaming folders has rules of the kernel's own (a folder into itself, over one that is empty).
      if (to.startsWith(`${path}/`) || target.parent.children.has(target.name)) return undefined;
      parent.children.delete(name);
      target.parent.children.set(target.name, node);
      return DONE;
    }
    const victim = target.parent.children.get(target.name);
    const inTheWay = victim !== undefined && this.#open.some((open) => open?.node === victim);
    if (inTheWay && this.#between.openFilesAreMovedAway) return undefined;
    if (victim?.kind === 'folder') throw new Refused('EISDIR');
    if (!isScratch(node)) throw new Refused('EPERM');
    const bytes = (node as Plain).bytes;
    if (victim !== undefined) this.#removed.delete(victim);
    if (victim?.kind === 'tensor') {
      if (!victim.writable) throw new Refused('EPERM');
      this.#replace(victim, bytes);
      (node as Plain).spent = true;
    } else if (victim !== undefined && !isScratch(victim)) {
      if (bytes.length > (victim.maxSize ?? 0)) throw new Refused('EFBIG');
      victim.bytes = Buffer.from(bytes);
      (node as Plain).spent = true;
    } else {
      target.parent.children.set(target.name, node);
    }
    parent.children.delete(name);
    return DONE;
  }

  #truncated(node: Tensor | Plain, size: number, open: Open | undefined): Answer {
    if (node.kind === 'plain') {
      if (size > (node.maxSize ?? Number.POSITIVE_INFINITY)) throw new Refused('EFBIG');
      node.bytes = resized(node.bytes, size);
      return DONE;
    }
    if (!node.writable) throw new Refused('EPERM');
    if (open?.stage !== undefined) {
      if (size > STAGE_BYTES) throw new Refused('EFBIG');
      open.stage = resized(open.stage, size);
      open.idle = false;
      return DONE;
    }
    if (size > node.places.length) throw new Refused('EFBIG');
    if (size === node.places.length) return DONE;
    if (size !== 0 || open === undefined) throw new Refused('EPERM');
    open.stage = Buffer.alloc(0);
    open.cut = true;
    open.idle = false;
    return DONE;
  }

  #listed({ children }: Folder): string[] {
    return [...children].flatMap(([name, node]) => (this.#removed.has(node) ? [] : [name])).sort();
  }

  /** By the rules of a replacement. */
  #replace(tensor: Tensor, bytes: Buffer): void {
    if (bytes.length === tensor.places.length) {
      this.#write(tensor, 0, bytes);
      return;
    }
    const number = /^(\d+)\n?$/.exec(bytes.toString('latin1'))?.[1];
    if (number === undefined || Number(number) > 255) throw new Refused('EINVAL');
    this.#write(tensor, 0, Buffer.alloc(tensor.places.length, Number(number)));
  }

  #write(tensor: Tensor, offset: number, bytes: Buffer): void {
    const storage = this.#storages.get(tensor.storage) as Buffer;
    bytes.forEach((byte, index) => {
      storage[tensor.places[offset + index] as number] = byte;
    });
  }

  /** Bytes of a copy that ftruncate began go through the kernel's pages of the file: what they show until the close is nobody's promise. */
  #isMixed(node: Tensor | Plain): boolean {
    return this.#between.pagesAreKept && this.#open.some((open) => open?.cut && open.node === node);
  }

  #content(node: Tensor | Plain): Buffer {
    if (node.kind === 'plain') return node.bytes;
    const storage = this.#storages.get(node.storage) as Buffer;
    return Buffer.from(node.places.map((place) => storage[place] as number));
  }

  #place(path: string): { parent: Folder; name: string } {
    const names = path.split('/').slice(2);
    let parent = this.#model;
    for (const name of names.slice(0, -1)) {
      const child = parent.children.get(name);
      if (child === undefined) throw new Refused('ENOENT');
      if (child.kind !== 'folder') throw new Refused('ENOTDIR');
      parent = child;
    }
    return { parent, name: names.at(-1) as string };
  }
}

function isScratch(node: Node): boolean {
  return node.kind === 'plain' && node.maxSize === undefined;
}

function sizeLimit(node: Tensor | Plain): number | undefined {
  return node.kind === 'tensor' ? node.places.length : node.maxSize;
}

function forgetScratch({ children }: Folder): void {
  for (const [name, node] of children) if (isScratch(node) || node.kind === 'folder') children.delete(name);
}

function overwritten(before: Buffer, offset: number, bytes: Buffer): Buffer {
  const after = resized(before, Math.max(before.length, offset + bytes.length));
  bytes.copy(after, offset);
  return after;
}

function resized(bytes: Buffer, size: number): Buffer {
  const other = Buffer.alloc(size);
  bytes.copy(other);
  return other;
}

function copied(storages: ReadonlyMap<string, Buffer>): Map<string, Buffer> {
  return new Map([...storages].map(([key, bytes]) => [key, Buffer.from(bytes)]));
}

function range(start: number, length: number): number[] {
  return Array.from({ length }, (_, index) => start + index);
}
