import { errno, MlfsError } from '../errors.ts';
import type { StoredContent } from './content.ts';
import type { FewOpen } from './few-open.ts';
import type { MediumFile } from './medium.ts';
import { Mutex } from './mutex.ts';

export interface StateFileOptions {
  /** Opens or makes the file for reading and writing. `again`: it was open before, and must be found unchanged. */
  readonly open: (again: boolean) => Promise<MediumFile>;
  /** Throws when the file must not be changed any more. */
  readonly refuseChange?: () => void;
  /** Size of the file at the beginning. */
  readonly size: number;
  readonly maxSize: number;
  /** Allows the descriptor to be closed between two uses. */
  readonly fewOpen?: FewOpen;
}

/**
 * An ordinary file of the state directory: a gradient, a scratch file. It is sparse where nothing was written. It is made at the first
 * write, so that reading it leaves nothing behind.
 */
export class StateFile implements StoredContent {
  readonly kind = 'stored';
  readonly maxSize: number;
  readonly #options: StateFileOptions;
  readonly #mutex = new Mutex();
  #file: MediumFile | undefined;
  #size: number;
  #closed = false;
  #wasOpen = false;

  constructor(options: StateFileOptions) {
    this.#options = options;
    this.#size = options.size;
    this.maxSize = options.maxSize;
  }

  size(): number {
    return this.#size;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#mutex.run(async () => {
      const present = Math.min(length, this.#size - offset);
      if (present <= 0) return NOTHING;
      return (await this.#opened()).read(offset, present);
    });
  }

  /** Throws EFBIG, ENOSPC, ERR_MLFS_IO. */
  write(offset: number, bytes: Uint8Array): Promise<void> {
    const end = offset + bytes.byteLength;
    return this.#mutex.run(async () => {
      this.#refuseBeyond(end);
      this.#options.refuseChange?.();
      if (bytes.byteLength === 0) return;
      const file = await this.#opened();
      await inPlace(file, () => file.write(offset, [bytes]));
      this.#size = Math.max(this.#size, end);
    });
  }

  truncate(size: number): Promise<void> {
    return this.#mutex.run(async () => {
      this.#refuseBeyond(size);
      this.#options.refuseChange?.();
      if (size === this.#size) return;
      const file = await this.#opened();
      await inPlace(file, () => file.truncate(size));
      this.#size = size;
    });
  }

  /** Resolves when earlier writes are durable; reads and writes continue meanwhile. */
  async sync(): Promise<void> {
    const file = await this.#mutex.run(async () =>
      this.#wasOpen && !this.#closed ? this.#opened() : undefined,
    );
    if (file === undefined) return;
    await inPlace(file, () => file.sync());
  }

  close(): Promise<void> {
    this.#options.fewOpen?.closed(this);
    return this.#mutex.run(async () => {
      this.#closed = true;
      await this.#closeFile();
    });
  }

  /** Closes the descriptor; the next use opens the file again. */
  letGo(): Promise<void> {
    return this.#mutex.run(() => this.#closeFile());
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #opened(): Promise<MediumFile> {
    if (this.#closed) throw errno('EBADF', 'the file was closed');
    this.#file ??= await this.#options.open(this.#wasOpen);
    this.#wasOpen = true;
    this.#options.fewOpen?.used(this);
    return this.#file;
  }

  #refuseBeyond(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0 || size > this.maxSize) {
      throw errno('EFBIG', `${size} bytes are more than the ${this.maxSize} that fit`);
    }
  }
}

/** A write to a file that cannot be found again must not be acknowledged. */
async function inPlace(file: MediumFile, write: () => Promise<void>): Promise<void> {
  await write();
  if ((await file.isInPlace?.()) !== false) return;
  throw new MlfsError(
    'ERR_MLFS_STALE',
    `${file.path}: was removed or moved while it was in use; nothing is written`,
    {
      path: file.path,
      advice: 'put it back, or unmount and mount again',
    },
  );
}

const NOTHING = new Uint8Array(0);
