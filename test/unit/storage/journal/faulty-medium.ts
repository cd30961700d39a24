import { type ErrnoName, MlfsError } from '../../../../src/errors.ts';
import { diskMedium } from '../../../../src/storage/disk-medium.ts';
import type { Medium, MediumFile } from '../../../../src/storage/medium.ts';

export type CallKind =
  | 'create'
  | 'read'
  | 'write'
  | 'truncate'
  | 'sync'
  | 'rename'
  | 'remove'
  | 'makeDirectory'
  | 'syncDirectory';

export interface Call {
  readonly kind: CallKind;
  readonly path: string;
  /** The first call is number 1. */
  readonly number: number;
}

/** The disk, with failures: a write that fails has written the first half. */
export class FaultyMedium implements Medium {
  /** The errno that a call fails with. */
  fails: (call: Call) => ErrnoName | undefined = () => undefined;
  readonly calls: Call[] = [];
  /** Bytes of the longest read. */
  longestRead = 0;

  count(kind: CallKind): number {
    return this.calls.filter((call) => call.kind === kind).length;
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<MediumFile> {
    if (how === 'create') this.check('create', path);
    return new FaultyFile(this, await diskMedium.open(path, how));
  }

  list(directory: string): Promise<string[]> {
    return diskMedium.list(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    this.check('makeDirectory', path);
    await diskMedium.makeDirectory(path);
  }

  async rename(from: string, to: string): Promise<void> {
    this.check('rename', from);
    await diskMedium.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    this.check('remove', path);
    await diskMedium.remove(path);
  }

  async syncDirectory(path: string): Promise<void> {
    this.check('syncDirectory', path);
    await diskMedium.syncDirectory(path);
  }

  check(kind: CallKind, path: string): void {
    const call = { kind, path, number: this.calls.length + 1 };
    this.calls.push(call);
    const errno = this.fails(call);
    if (errno !== undefined)
      throw new MlfsError('ERR_MLFS_IO', `${path}: ${kind} failed: ${errno}`, { path, errno });
  }
}

class FaultyFile implements MediumFile {
  readonly path: string;
  readonly fd: number | undefined;
  readonly #medium: FaultyMedium;
  readonly #file: MediumFile;

  constructor(medium: FaultyMedium, file: MediumFile) {
    this.#medium = medium;
    this.#file = file;
    this.path = file.path;
    this.fd = file.fd;
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#medium.check('read', this.path);
    this.#medium.longestRead = Math.max(this.#medium.longestRead, length);
    return this.#file.read(offset, length);
  }

  async write(offset: number, pieces: readonly Uint8Array[]): Promise<void> {
    try {
      this.#medium.check('write', this.path);
    } catch (cause) {
      const bytes = Buffer.concat(pieces);
      await this.#file.write(offset, [bytes.subarray(0, bytes.byteLength / 2)]);
      throw cause;
    }
    await this.#file.write(offset, pieces);
  }

  async truncate(size: number): Promise<void> {
    this.#medium.check('truncate', this.path);
    await this.#file.truncate(size);
  }

  async sync(): Promise<void> {
    this.#medium.check('sync', this.path);
    await this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
