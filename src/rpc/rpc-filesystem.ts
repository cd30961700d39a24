/**
 * /rpc: one folder for each call. The caller makes it, writes `input.npy` and reads `output.npy`, which waits. A worker opens a file of its
 * own in `workers` for reading and writing; the open waits for a call, and the file says which. The worker writes that call's output and
 * then its `answer`. The call is its own while the file is open; if it closes the file without an answer, the call is queued again.
 * docs/RPC.md is the protocol.
 *
 * Invariants: only these operations wait, each for a bounded time and interruptibly: an open of `output` or of a worker's file, and a read
 * of `call.npy`. Bytes lie in nameless files and never in the heap. An answer belongs to the input that was asked, not to a later one.
 * Reading changes nothing: every listed name can be opened for reading and read at once, which takes no call and changes no size or time.
 */
import { errno } from '../errors.ts';
import type {
  AbsentEntry,
  Attr,
  AttrChange,
  AttrReply,
  DirectoryEntry,
  Entry,
  OpenReply,
  RequestContext,
} from '../fuse/filesystem.ts';
import { O_ACCMODE, O_EXCL, O_RDONLY, O_TRUNC } from '../fuse/open-policy.ts';
import { permits, R_OK, W_OK, X_OK } from '../fuse/permission.ts';
import { hasRawBytes } from '../fuse/protocol/name-bytes.ts';
import { RefusingFilesystem } from '../fuse/refusing-filesystem.ts';
import type { Supplies } from '../fuse/supplies.ts';
import { visibleJson } from '../visible-text.ts';
import type { Call, CallFile } from './call.ts';
import { attrOf, type CallFolder, CallFolders, namesIn, nodeidIn, nodeidOf, textOf } from './call-folders.ts';
import { CallQueue, type Lease } from './call-queue.ts';
import { OpenRpcFiles, type RpcHandle } from './open-rpc-files.ts';
import { NO_CALL, TAKEN_CALL_BYTES, type TakenCall, takenCallDocument } from './taken-call.ts';
import { MOST_WORKER_FILES, type WorkerFile, Workers } from './workers.ts';

export interface RpcFilesystemOptions {
  readonly timeoutMs: number;
  /** Makes a file that is charged to a user. */
  readonly makeFile: (uid: number) => CallFile;
  readonly supplies: Pick<Supplies, 'openFiles' | 'openBytes'>;
  readonly log: (level: 'info' | 'warn', message: string) => void;
}

const ROOT = 1;
const WORKERS = 2;
const STATUS = 3;
const ONE_FILE = 4;
/** Workers' files have the last nodeids of a graft's range. */
const FIRST_WORKER = 2 ** 28 - MOST_WORKER_FILES;
/** Flags of open(2), as in Linux's asm-generic/fcntl.h. */
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;

/** Maximum time that a worker waits in the kernel; it then asks again. */
const POLL_MS = 1000;
const ANSWER_BYTES = 64 * 1024;

export class RpcFilesystem extends RefusingFilesystem {
  readonly #options: RpcFilesystemOptions;
  readonly #queue = new CallQueue();
  readonly #workers: Workers;
  #done = 0;
  #failed = 0;
  readonly #folders: CallFolders;
  readonly #files: OpenRpcFiles;
  readonly #startedMs = Date.now();
  /** The last contents of `/rpc/status`, and when they became so. */
  #status = { bytes: Buffer.alloc(0), sinceMs: Date.now() };

  constructor(options: RpcFilesystemOptions) {
    super();
    this.#options = options;
    this.#files = new OpenRpcFiles(options.supplies);
    this.#folders = new CallFolders({ nodeidLimit: FIRST_WORKER, makeFile: options.makeFile });
    this.#workers = new Workers({
      firstNodeid: FIRST_WORKER,
      patienceMs: 3 * POLL_MS,
      said: (present) =>
        options.log('info', present ? '/rpc: a worker takes calls' : '/rpc: no worker takes calls any more'),
    });
  }

  /** Counters for the metrics. */
  counters() {
    const { queued, running } = this.#queue;
    return { workers: this.#workers.count, queued, running, done: this.#done, failed: this.#failed };
  }

  lookup(parent: number, name: string, context: RequestContext): Entry | AbsentEntry {
    const nodeid = this.#nodeidIn(parent, name);
    if (nodeid === undefined) return { absent: true, entryTimeoutMs: 0 };
    this.#require(parent, X_OK, context);
    return this.#entry(nodeid);
  }

  getattr(nodeid: number): AttrReply {
    return { attr: this.#attr(nodeid), attrTimeoutMs: 0 };
  }

  override async setattr(nodeid: number, change: AttrChange, context: RequestContext): Promise<AttrReply> {
    if (change.size !== undefined) {
      if (nodeid === ROOT || nodeid === WORKERS) throw errno('EISDIR');
      if (this.#files.find(change.handle ?? 0) === undefined) this.#require(nodeid, W_OK, context);
      // Opening a worker's file with O_TRUNC takes a call like any other open.
      if (this.#workers.at(nodeid) !== undefined) return this.getattr(nodeid);
      if (nodeid === STATUS || nodeid === ONE_FILE) throw errno('EPERM');
      const { folder, part } = this.#folders.partAt(nodeid);
      if (part === 'input') await this.#cutInput(folder, change.size);
      else if (part === 'output') await folder.call.draft.truncate(change.size);
      else if (part === 'folder') throw errno('EISDIR');
      else if (part !== 'answer') throw errno('EPERM');
    }
    // Changes of times and modes succeed without effect, for cp -p and touch.
    return this.getattr(nodeid);
  }

  async open(nodeid: number, flags: number, context: RequestContext): Promise<OpenReply> {
    const writes = (flags & O_ACCMODE) !== O_RDONLY;
    if (nodeid === ROOT || nodeid === WORKERS) throw errno('EISDIR');
    this.#require(nodeid, writes ? W_OK : R_OK, context);
    const worker = this.#workers.at(nodeid);
    if (worker !== undefined && writes) return this.#takeCall(worker.name, flags, context);
    return this.#files.opening(context.uid, this.#bytesKept(nodeid), () =>
      this.#open(nodeid, flags, writes, context),
    );
  }

  /** Maximum memory that a handle keeps, in bytes. */
  #bytesKept(nodeid: number): number {
    if (nodeid === STATUS) return this.#statusNow().bytes.length;
    if (nodeid === ONE_FILE) return 0;
    if (this.#workers.at(nodeid) !== undefined) return TAKEN_CALL_BYTES;
    const { folder, part } = this.#folders.partAt(nodeid);
    if (part === 'answer') return ANSWER_BYTES;
    return part === 'status' || part === 'error' ? textOf(folder, part).length : 0;
  }

  async #open(nodeid: number, flags: number, writes: boolean, context: RequestContext): Promise<OpenReply> {
    if (nodeid === STATUS) return this.#files.add({ kind: 'document', bytes: this.#statusNow().bytes });
    if (nodeid === ONE_FILE) return this.#openOneFile(flags, context);
    const worker = this.#workers.at(nodeid);
    if (worker !== undefined) return this.#files.add({ kind: 'document', bytes: worker.bytes });
    const { folder, part } = this.#folders.partAt(nodeid);
    switch (part) {
      case 'input':
        if (writes && (flags & O_TRUNC) !== 0) await this.#cutInput(folder, 0);
        return this.#files.add({ kind: 'input', folder, written: false });
      case 'output':
        return writes ? this.#openDraft(folder, flags) : this.#openOutput(folder, flags, context);
      case 'answer':
        if (!writes) return this.#files.add({ kind: 'document', bytes: NOTHING });
        return this.#files.add({ kind: 'answer', folder, text: NOTHING });
      case 'folder':
        throw errno('EISDIR');
      default:
        return this.#files.add({ kind: 'document', bytes: textOf(folder, part) });
    }
  }

  read(
    _nodeid: number,
    handle: number,
    offset: number,
    length: number,
    context: RequestContext,
  ): Promise<Uint8Array> | Uint8Array {
    const open = this.#files.get(handle);
    switch (open.kind) {
      case 'worker':
      case 'document':
        return open.bytes.subarray(offset, offset + length);
      case 'input':
        return open.folder.call.input.read(offset, length);
      case 'output':
        return open.file.read(offset, length);
      case 'one file':
        return this.#readOneFile(open, offset, length, context);
      default:
        throw errno('EBADF', 'the file is open for writing only');
    }
  }

  override async write(_nodeid: number, handle: number, offset: number, bytes: Uint8Array): Promise<number> {
    const open = this.#files.get(handle);
    switch (open.kind) {
      case 'input':
        await this.#writeInput(open.folder, offset, bytes);
        open.written = true;
        break;
      case 'one file':
        await this.#writeInput(open.folder, offset, bytes);
        break;
      case 'draft':
        if (open.version !== open.folder.call.version)
          throw errno('ESTALE', 'the input is another one by now');
        await open.folder.call.draft.write(offset, bytes);
        break;
      case 'answer':
        if (open.text.length + bytes.byteLength > ANSWER_BYTES) throw errno('EFBIG');
        open.text = Buffer.concat([open.text, bytes]);
        break;
      default:
        throw errno('EBADF', 'the file is open for reading only');
    }
    return bytes.byteLength;
  }

  override flush(_nodeid: number, handle: number): void {
    const open = this.#files.find(handle);
    if (open?.kind === 'input' && open.written) {
      open.written = false;
      this.#queue.submit(open.folder.call);
    }
    if (open?.kind === 'answer' && open.text.length > 0) {
      const { text } = open;
      open.text = NOTHING;
      this.#takeAnswer(open.folder, text.toString());
    }
  }

  override async release(_nodeid: number, handle: number): Promise<void> {
    const open = this.#files.remove(handle);
    if (open?.kind === 'worker') this.#leaveCall(open.file, open.lease);
    if (open?.kind === 'one file') await this.#remove(open.folder);
  }

  *readdir(nodeid: number, offset: number, context: RequestContext): Generator<DirectoryEntry> {
    this.#require(nodeid, R_OK, context);
    const names: [string, number][] = [
      ['.', nodeid],
      ['..', ROOT],
    ];
    if (nodeid === ROOT) {
      names.push(['workers', WORKERS], ['status', STATUS], ['call.npy', ONE_FILE]);
      for (const { name, number, hidden } of this.#folders.all) {
        if (!hidden) names.push([name, nodeidOf(number, 'folder')]);
      }
    } else if (nodeid !== WORKERS) {
      // Workers' files appear and disappear too quickly to be listed.
      const folder = this.#folders.folderAt(nodeid);
      for (const name of namesIn(folder)) names.push([name, nodeidIn(folder, name) as number]);
    }
    for (let index = offset; index < names.length; index++) {
      const [name, id] = names[index] as [string, number];
      yield { name, offset: index + 1, entry: this.#entry(id) };
    }
  }

  override access(nodeid: number, mask: number, context: RequestContext): void {
    this.#require(nodeid, mask, context);
  }

  override mkdir(parent: number, name: string, _mode: number, context: RequestContext): Entry {
    if (parent !== ROOT) throw errno('EPERM', 'a call has no folders');
    this.#require(ROOT, W_OK | X_OK, context);
    if (this.#inRoot(name) !== undefined) throw errno('EEXIST');
    if (hasRawBytes(name)) throw errno('EINVAL', 'the name is not UTF-8');
    return this.#entry(nodeidOf(this.#folders.make(name, context).number, 'folder'));
  }

  override async create(
    parent: number,
    name: string,
    _mode: number,
    flags: number,
    context: RequestContext,
  ): Promise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    if (parent === ROOT) throw errno('EPERM', 'a call is a folder: mkdir one and write its input.npy');
    if (parent === WORKERS) return this.#createWorker(name, flags, context);
    const folder = this.#folders.folderAt(parent);
    this.#require(parent, W_OK | X_OK, context);
    if (nodeidIn(folder, name) === undefined) {
      if (!/^input(\.[\w-]+)*$/.test(name)) throw errno('EPERM', `${name}: a call has one input, input.npy`);
      folder.inputName = name;
      folder.outputName = name.replace(/^input/, 'output');
    }
    const nodeid = nodeidIn(folder, name) as number;
    return { entry: this.#entry(nodeid), opened: await this.open(nodeid, flags, context) };
  }

  override async unlink(parent: number, name: string, context: RequestContext): Promise<void> {
    if (parent === ROOT || parent === WORKERS) throw errno('EPERM');
    const folder = this.#folders.folderAt(parent);
    this.#require(parent, W_OK | X_OK, context);
    if (nodeidIn(folder, name) === undefined) throw errno('ENOENT');
    // Removing the other files succeeds without effect, for `rm -r`: they go with the folder.
    if (name !== folder.inputName) return;
    this.#queue.withdraw(folder.call);
    await this.#cutInput(folder, 0);
    folder.inputName = undefined;
  }

  override async rmdir(parent: number, name: string, context: RequestContext): Promise<void> {
    if (parent !== ROOT) throw errno('ENOTDIR');
    this.#require(ROOT, W_OK | X_OK, context);
    const folder = this.#folders.named(name);
    if (folder === undefined) throw errno(this.#inRoot(name) === undefined ? 'ENOENT' : 'ENOTDIR');
    if (folder.inputName !== undefined) throw errno('ENOTEMPTY');
    await this.#remove(folder);
  }

  /** Ends every wait. */
  async close(): Promise<void> {
    this.#workers.end();
    for (const folder of [...this.#folders.all]) await this.#remove(folder);
  }

  /** Reports a call that was answered or failed. */
  #settled({ id, state, error }: Call): void {
    if (state === 'done') this.#done++;
    if (state !== 'failed') return;
    this.#failed++;
    this.#options.log('warn', `/rpc/${id}: ${error}`);
  }

  async #remove(folder: CallFolder): Promise<void> {
    this.#folders.remove(folder);
    this.#queue.withdraw(folder.call);
    await folder.call.close();
  }

  async #createWorker(
    name: string,
    flags: number,
    context: RequestContext,
  ): Promise<{ readonly entry: Entry; readonly opened: OpenReply }> {
    this.#require(WORKERS, W_OK | X_OK, context);
    if (hasRawBytes(name)) throw errno('EINVAL', 'the name is not UTF-8');
    if (this.#workers.named(name) !== undefined && (flags & O_EXCL) !== 0) throw errno('EEXIST');
    const opened = await this.#takeCall(name, flags, context);
    // The file exists while it is open.
    const { nodeid } = this.#workers.named(name) as WorkerFile;
    return { entry: this.#entry(nodeid), opened };
  }

  /** Waits for a call, which belongs to the worker until the handle is released. */
  async #takeCall(name: string, flags: number, context: RequestContext): Promise<OpenReply> {
    if ((flags & O_ACCMODE) !== O_RDWR)
      throw errno('EINVAL', "a worker's file is opened for reading and writing");
    const file = this.#workers.open(name, NO_CALL);
    let lease: Lease | undefined;
    try {
      return await this.#files.opening(context.uid, TAKEN_CALL_BYTES, async () => {
        const withinMs = (flags & O_NONBLOCK) === 0 ? POLL_MS : 0;
        lease = await this.#queue.take(withinMs, context.signal);
        const folder = lease === undefined ? undefined : this.#folders.named(lease.call.id);
        const bytes = folder === undefined ? NO_CALL : takenCallDocument(takenCall(folder));
        file.bytes = bytes;
        file.changedMs = Math.max(Date.now(), file.changedMs + 1);
        return this.#files.add({ kind: 'worker', file, bytes, lease });
      });
    } catch (cause) {
      this.#leaveCall(file, lease);
      throw cause;
    }
  }

  #leaveCall(file: WorkerFile, lease: Lease | undefined): void {
    this.#workers.close(file);
    if (lease === undefined) return;
    const wasRunning = lease.call.state === 'running';
    this.#queue.leave(lease);
    if (wasRunning) this.#settled(lease.call);
  }

  async #openOutput(folder: CallFolder, flags: number, { signal }: RequestContext): Promise<OpenReply> {
    await folder.call.answered((flags & O_NONBLOCK) === 0 ? this.#options.timeoutMs : 0, signal);
    return this.#files.add({ kind: 'output', file: folder.call.output });
  }

  async #openDraft(folder: CallFolder, flags: number): Promise<OpenReply> {
    const { call } = folder;
    if (call.state !== 'running')
      throw errno('EPERM', 'the output is written by the worker that has the call');
    if ((flags & O_TRUNC) !== 0) await call.draft.truncate(0);
    return this.#files.add({ kind: 'draft', folder, version: call.version });
  }

  #openOneFile(flags: number, context: RequestContext): OpenReply {
    const access = flags & O_ACCMODE;
    // A descriptor without write access has asked nothing.
    if (access === O_RDONLY) return this.#files.add({ kind: 'document', bytes: NOTHING });
    if (access !== O_RDWR) throw errno('EINVAL', 'call.npy is opened for reading and writing');
    const folder = this.#folders.makeHidden(context);
    folder.inputName = 'input.npy';
    return this.#files.add({ kind: 'one file', folder, flags });
  }

  /** One stream: the question, followed by the answer. A descriptor that wrote a question continues reading after it. */
  async #readOneFile(
    { folder, flags }: Extract<RpcHandle, { kind: 'one file' }>,
    offset: number,
    length: number,
    { signal }: RequestContext,
  ): Promise<Uint8Array> {
    const { call } = folder;
    const asked = call.input.size();
    if (offset < asked) return call.input.read(offset, Math.min(length, asked - offset));
    if (asked === 0) throw errno('EINVAL', 'write a request first');
    if (call.state === 'idle') this.#queue.submit(call);
    await call.answered((flags & O_NONBLOCK) === 0 ? this.#options.timeoutMs : 0, signal);
    return call.output.read(offset - asked, length);
  }

  async #writeInput({ call }: CallFolder, offset: number, bytes: Uint8Array): Promise<void> {
    this.#queue.withdraw(call);
    await call.reset();
    await call.input.write(offset, bytes);
  }

  async #cutInput({ call }: CallFolder, size: number): Promise<void> {
    this.#queue.withdraw(call);
    await call.reset();
    await call.input.truncate(size);
  }

  #takeAnswer({ call }: CallFolder, text: string): void {
    let error: string | undefined;
    try {
      const answer = JSON.parse(text) as { readonly ok?: unknown; readonly error?: unknown };
      if (answer.ok !== true) error = String(answer.error ?? 'the worker gave no reason');
    } catch {
      throw errno('EINVAL', `${call.id}: an answer is {"ok": true} or {"ok": false, "error": "…"}`);
    }
    this.#queue.answer(call, error);
    this.#settled(call);
  }

  /** Its time is when its contents last changed. */
  #statusNow(): { readonly bytes: Buffer; readonly sinceMs: number } {
    const calls = [...this.#folders.all].map(({ name, call }) => ({ id: name, state: call.state }));
    const { queued, running } = this.#queue;
    const workers = this.#workers.count;
    const bytes = Buffer.from(`${visibleJson({ workers, queued, running, calls })}\n`);
    if (!bytes.equals(this.#status.bytes)) this.#status = { bytes, sinceMs: Date.now() };
    return this.#status;
  }

  #nodeidIn(parent: number, name: string): number | undefined {
    if (parent === ROOT) return this.#inRoot(name);
    if (parent === WORKERS) return this.#workers.named(name)?.nodeid;
    return nodeidIn(this.#folders.folderAt(parent), name);
  }

  #inRoot(name: string): number | undefined {
    if (name === 'workers') return WORKERS;
    if (name === 'status') return STATUS;
    if (name === 'call.npy') return ONE_FILE;
    const folder = this.#folders.named(name);
    return folder === undefined ? undefined : nodeidOf(folder.number, 'folder');
  }

  #entry(nodeid: number): Entry {
    return { attr: this.#attr(nodeid), entryTimeoutMs: 0, attrTimeoutMs: 0 };
  }

  #attr(nodeid: number): Attr {
    const uid = process.getuid?.() ?? 0;
    const gid = process.getgid?.() ?? 0;
    const own = { nodeid, nlink: 1, uid, gid, mtimeMs: this.#startedMs };
    if (nodeid === ROOT || nodeid === WORKERS) return { ...own, kind: 'directory', mode: 0o755, size: 0 };
    if (nodeid === STATUS) {
      const { bytes, sinceMs } = this.#statusNow();
      return { ...own, mtimeMs: sinceMs, kind: 'file', mode: 0o444, size: bytes.length };
    }
    // Whoever copies a whole mount reads this file, which is empty then, and those of workers.
    if (nodeid === ONE_FILE) return { ...own, kind: 'file', mode: 0o644, size: 0 };
    const worker = this.#workers.at(nodeid);
    if (worker !== undefined)
      return { ...own, mtimeMs: worker.changedMs, kind: 'file', mode: 0o644, size: TAKEN_CALL_BYTES };
    const { folder, part } = this.#folders.partAt(nodeid);
    return attrOf(folder, part, uid);
  }

  #require(nodeid: number, mask: number, context: RequestContext): void {
    if (!permits(this.#attr(nodeid), mask, context)) throw errno('EACCES');
  }
}

const NOTHING = Buffer.alloc(0);

function takenCall({ name, inputName, outputName }: CallFolder): TakenCall {
  return { id: name, input: inputName, output: outputName, answer: 'answer' };
}
