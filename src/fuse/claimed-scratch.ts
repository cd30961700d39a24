import type { ScratchContent } from './staged-replacement.ts';
import { Claim, type Supply } from './supplies.ts';

/**
 * A nameless file holds a descriptor, on its user's account, from its first byte until it is closed. A write fails with ENOSPC if the user has
 * none left.
 */
export class ClaimedScratch implements ScratchContent {
  readonly kind = 'stored';
  readonly #file: ScratchContent;
  readonly #descriptors: Supply;
  readonly #claim: Claim;
  #claimed = false;
  #closed = false;

  constructor(file: ScratchContent, descriptors: Supply, uid: number) {
    this.#file = file;
    this.#descriptors = descriptors;
    this.#claim = new Claim(uid);
  }

  get maxSize(): number {
    return this.#file.maxSize;
  }

  size(): number {
    return this.#file.size();
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#file.read(offset, length);
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > 0) this.#takeDescriptor();
    await this.#file.write(offset, bytes);
  }

  async truncate(size: number): Promise<void> {
    if (size !== this.#file.size()) this.#takeDescriptor();
    await this.#file.truncate(size);
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  async close(): Promise<void> {
    this.#closed = true;
    try {
      await this.#file.close();
    } finally {
      this.#claim.giveBack();
    }
  }

  #takeDescriptor(): void {
    // A closed file refuses by itself, and nobody would give the descriptor back.
    if (this.#claimed || this.#closed) return;
    this.#claim.take(this.#descriptors, 1, 'ENOSPC');
    this.#claimed = true;
  }
}
