import { readFile } from 'node:fs/promises';
import { MlfsError } from '../../../src/errors.ts';
import type { Entry, Filesystem, RequestContext } from '../../../src/fuse/filesystem.ts';
import { ROOT_NODEID } from '../../../src/inode.ts';
import { WritableCheckpoint } from '../../../src/targets/writable-checkpoint.ts';
import type { Client } from './client.ts';
import { type Answer, DONE, type Operation } from './operation.ts';

const O_ACCESS = { read: 0, write: 1, both: 2 } as const;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;

interface Descriptor {
  readonly nodeid: number;
  readonly handle: number;
}

class Errno extends Error {
  readonly errno: string;

  constructor(errno: string) {
    super(errno);
    this.errno = errno;
  }
}

/** Uses a Filesystem in this process as the kernel would: it walks paths, checks what the kernel checks, and flushes what it closes. */
export class FilesystemClient implements Client {
  readonly between = { pagesAreKept: false, openFilesAreMovedAway: false, removedNamesReturn: false };
  readonly #checkpoint: string;
  readonly #serve: (edited: WritableCheckpoint) => Filesystem;
  readonly #context: RequestContext = {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    signal: new AbortController().signal,
  };
  readonly #slots = new Map<number, Descriptor>();
  readonly #remembered = new Set<number>();
  #edited: WritableCheckpoint | undefined;
  #filesystem: Filesystem | undefined;

  constructor(checkpoint: string, serve: (edited: WritableCheckpoint) => Filesystem) {
    this.#checkpoint = checkpoint;
    this.#serve = serve;
  }

  async perform(operation: Operation): Promise<Answer> {
    if (operation.do === 'remount') {
      await this.close();
      return DONE;
    }
    if (this.#filesystem === undefined) {
      this.#edited = await WritableCheckpoint.open(this.#checkpoint);
      this.#filesystem = this.#serve(this.#edited);
    }
    try {
      return { value: (await this.#carryOut(operation, this.#filesystem)) ?? null };
    } catch (cause) {
      if (cause instanceof Errno || cause instanceof MlfsError) return { errno: cause.errno };
      throw cause;
    }
  }

  file(): Promise<Buffer> {
    return readFile(this.#checkpoint);
  }

  async close(): Promise<void> {
    this.#slots.clear();
    this.#remembered.clear();
    this.#filesystem = undefined;
    const edited = this.#edited;
    this.#edited = undefined;
    await edited?.close();
  }

  async #carryOut(
    operation: Exclude<Operation, { do: 'remount' }>,
    fs: Filesystem,
  ): Promise<string | number | string[] | undefined> {
    const context = this.#context;
    switch (operation.do) {
      case 'open': {
        const { parent, name, entry } = await this.#find(operation.path);
        const flags =
          O_ACCESS[operation.access] | (operation.truncate ? O_TRUNC : 0) | (operation.create ? O_CREAT : 0);
        if (entry !== undefined) {
          const { nodeid } = entry.attr;
          const { handle } = await fs.open(nodeid, flags & ~O_CREAT, context);
          this.#slots.set(operation.slot, { nodeid, handle });
          return undefined;
        }
        if (!operation.create) throw new Errno('ENOENT');
        const created = await fs.create(parent, name, 0o100644, flags, context);
        const { nodeid } = created.entry.attr;
        this.#remember(nodeid);
        this.#slots.set(operation.slot, { nodeid, handle: created.opened.handle });
        return undefined;
      }
      case 'close': {
        const { nodeid, handle } = this.#descriptor(operation.slot);
        this.#slots.delete(operation.slot);
        try {
          await fs.flush(nodeid, handle, context);
        } finally {
          await fs.release(nodeid, handle);
        }
        return undefined;
      }
      case 'fsync': {
        const { nodeid, handle } = this.#descriptor(operation.slot);
        await fs.fsync(nodeid, handle, false, context);
        return undefined;
      }
      case 'read': {
        const { nodeid, handle } = this.#descriptor(operation.slot);
        return hex(await fs.read(nodeid, handle, operation.offset, operation.length, context));
      }
      case 'write': {
        const { nodeid, handle } = this.#descriptor(operation.slot);
        return fs.write(nodeid, handle, operation.offset, Buffer.from(operation.bytes, 'hex'), context);
      }
      case 'ftruncate': {
        const { nodeid, handle } = this.#descriptor(operation.slot);
        await fs.setattr(nodeid, { size: operation.size, handle }, context);
        return undefined;
      }
      case 'truncate':
        await fs.setattr(
          (await this.#existing(operation.path)).attr.nodeid,
          { size: operation.size },
          context,
        );
        return undefined;
      case 'size':
        return (await fs.getattr((await this.#existing(operation.path)).attr.nodeid, context)).attr.size;
      case 'content': {
        const { nodeid } = (await this.#existing(operation.path)).attr;
        const { handle } = await fs.open(nodeid, O_ACCESS.read, context);
        const bytes = await fs.read(nodeid, handle, 0, 1 << 20, context);
        await fs.flush(nodeid, handle, context);
        await fs.release(nodeid, handle);
        return hex(bytes);
      }
      case 'list': {
        const { nodeid } = (await this.#existing(operation.path)).attr;
        const names = [...(await fs.readdir(nodeid, 0, context))].map(({ name }) => name);
        return names.filter((name) => name !== '.' && name !== '..').sort();
      }
      case 'mkdir': {
        const { parent, name, entry } = await this.#find(operation.path);
        if (entry !== undefined) throw new Errno('EEXIST');
        this.#remember((await fs.mkdir(parent, name, 0o755, context)).attr.nodeid);
        return undefined;
      }
      case 'unlink': {
        const { parent, name, entry } = await this.#find(operation.path);
        if (entry === undefined) throw new Errno('ENOENT');
        if (entry.attr.kind === 'directory') throw new Errno('EISDIR');
        await fs.unlink(parent, name, context);
        return undefined;
      }
      case 'rmdir': {
        const { parent, name, entry } = await this.#find(operation.path);
        if (entry === undefined) throw new Errno('ENOENT');
        if (entry.attr.kind !== 'directory') throw new Errno('ENOTDIR');
        await fs.rmdir(parent, name, context);
        return undefined;
      }
      case 'rename':
        return this.#rename(operation, fs);
      case 'commit':
        await this.#edited?.edits.commit();
        return undefined;
      case 'discard':
        await this.#edited?.edits.discard();
        return undefined;
    }
  }

  async #rename({ path, to }: { path: string; to: string }, fs: Filesystem): Promise<undefined> {
    const source = await this.#find(path);
    const target = await this.#find(to);
    if (source.entry === undefined) throw new Errno('ENOENT');
    if (source.entry.attr.nodeid === target.entry?.attr.nodeid) return undefined;
    if (target.entry?.attr.kind === 'directory' && source.entry.attr.kind !== 'directory')
      throw new Errno('EISDIR');
    await fs.rename(source.parent, source.name, target.parent, target.name, 0, this.#context);
    return undefined;
  }

  async #find(path: string): Promise<{ parent: number; name: string; entry: Entry | undefined }> {
    const names = path.split('/').slice(1);
    let parent = ROOT_NODEID;
    for (const name of names.slice(0, -1)) {
      const entry = await this.#lookup(parent, name);
      if (entry === undefined) throw new Errno('ENOENT');
      if (entry.attr.kind !== 'directory') throw new Errno('ENOTDIR');
      parent = entry.attr.nodeid;
    }
    const name = names.at(-1) ?? '';
    return { parent, name, entry: await this.#lookup(parent, name) };
  }

  async #existing(path: string): Promise<Entry> {
    const { entry } = await this.#find(path);
    if (entry === undefined) throw new Errno('ENOENT');
    return entry;
  }

  async #lookup(parent: number, name: string): Promise<Entry | undefined> {
    const filesystem = this.#filesystem as Filesystem;
    try {
      const answer = await filesystem.lookup(parent, name, this.#context);
      if ('absent' in answer) return undefined;
      this.#remember(answer.attr.nodeid);
      return answer;
    } catch (cause) {
      if (cause instanceof MlfsError && cause.errno === 'ENOENT') return undefined;
      throw cause;
    }
  }

  #remember(nodeid: number): void {
    if (this.#remembered.has(nodeid)) return;
    this.#remembered.add(nodeid);
    this.#filesystem?.remember(nodeid);
  }

  #descriptor(slot: number): Descriptor {
    const descriptor = this.#slots.get(slot);
    if (descriptor === undefined) throw new Errno('EBADF');
    return descriptor;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
