import { errno } from '../errors.ts';
import type { FileInode } from '../inode.ts';
import type { StoredContent } from '../storage/content.ts';
import { isFillText, type Staged } from './replacement.ts';

/** A nameless file outside the mount, gone when it is closed. */
export type ScratchContent = StoredContent & { close(): Promise<void> };

/**
 * What one handle has written since it truncated the file to nothing: a copy that nobody else sees until a close finds it complete. Shells
 * duplicate descriptors and close them early, so every close checks again, and the last one decides.
 */
export class StagedReplacement {
  readonly #inode: FileInode;
  readonly #scratch: ScratchContent;
  /** Something was written or truncated since the last close that took effect. */
  #unsettled: boolean;
  #writes = 0;
  /** It started as a copy of the file's present text. */
  readonly wasFilled: boolean;

  /** `cut` means ftruncate(0), which is a change in itself; after O_TRUNC only a later write is a change. */
  constructor(inode: FileInode, scratch: ScratchContent, cut: boolean) {
    this.#inode = inode;
    this.#scratch = scratch;
    this.#unsettled = cut;
    this.wasFilled = scratch.size() > 0;
  }

  get staged(): Staged {
    return this.#scratch;
  }

  /** Whether a close has something to do. */
  get unsettled(): boolean {
    return this.#unsettled;
  }

  /** Whether nothing was ever written. */
  get untouched(): boolean {
    return !this.#unsettled && this.#writes === 0;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const available = Math.min(length, this.#scratch.size() - offset);
    return available <= 0 ? new Uint8Array(0) : this.#scratch.read(offset, available);
  }

  size(): number {
    return this.#scratch.size();
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#refuseBeyond(offset + bytes.byteLength);
    this.#unsettled = true;
    this.#writes++;
    await this.#scratch.write(offset, bytes);
  }

  async truncate(size: number): Promise<void> {
    this.#refuseBeyond(size);
    this.#unsettled = true;
    await this.#scratch.truncate(size);
  }

  /** The staged bytes have become the file's bytes. */
  settled(): void {
    this.#unsettled = false;
  }

  close(): Promise<void> {
    return this.#scratch.close();
  }

  #refuseBeyond(size: number): void {
    const { content, replace } = this.#inode;
    if (replace !== undefined || !('size' in content) || typeof content.size !== 'number') return;
    if (size > content.size && !isFillText(size)) {
      throw errno('EFBIG', `${size} bytes are more than the ${content.size} of the file`);
    }
  }
}
