/**
 * Keeps every view of the same bytes current. An image that changes tells which bytes; here it is found out which inodes show them.
 * Their mtime rises, their rendered pages are dropped, and the kernel is told to drop what it keeps of them.
 *
 * Invariant: an inode that the kernel may keep something of is in the index, from `remember` to `forget`; what it drops is read again only
 * after the data plane has the new bytes, because invalidations are sent when all listeners of the image were called.
 */

import type { FileInode } from '../inode.ts';
import type { Image, ImageChange, ImageUpdate } from '../storage/image.ts';
import { readExtents } from '../storage/read-extents.ts';
import type { AttributeChanges } from './attribute-changes.ts';
import type { Invalidation } from './filesystem.ts';
import { type Invalidations, NOTHING, type Sent } from './invalidation.ts';
import { OverlappingInodes } from './overlapping-inodes.ts';

/** Through which inode an image is being changed. */
interface Cause {
  readonly inode: FileInode;
  /** The kernel has put the bytes into its own pages of the inode. */
  readonly pagesAreCurrent: boolean;
  invalidations: readonly Invalidation[];
}

export class Coherence {
  readonly #index = new OverlappingInodes();
  readonly #invalidations: Invalidations;
  readonly #attributes: AttributeChanges;
  readonly #followed = new Map<Image, () => void>();
  /** Updates of one image are exclusive: there is one cause at a time. */
  readonly #causes = new Map<Image, Cause>();
  /** Of the latest change that no inode caused: a discard. */
  #latest: Sent = NOTHING;

  constructor(invalidations: Invalidations, attributes: AttributeChanges) {
    this.#invalidations = invalidations;
    this.#attributes = attributes;
  }

  /** The kernel may keep something of the inode. */
  remember(inode: FileInode): void {
    if (this.#index.has(inode.nodeid)) return;
    this.#index.add(inode);
    for (const image of this.#index.images) this.#follow(image);
  }

  forget(inode: FileInode): void {
    this.#index.remove(inode.nodeid);
    // Nobody will tell it about changes from here on.
    invalidate(inode);
  }

  /** Carries out a WRITE. Its other views are current when the promise settles, unless waiting could deadlock. */
  async write<T>(inode: FileInode, image: Image, task: (update: ImageUpdate) => Promise<T>): Promise<T> {
    const cause: Cause = { inode, pagesAreCurrent: true, invalidations: [] };
    try {
      return await this.#update(image, cause, task, false);
    } finally {
      await this.#invalidations.settleWrite(inode.nodeid, this.#invalidations.send(cause.invalidations));
    }
  }

  /** Puts other bytes in the place of an inode's, all or none of them. */
  async replace<T>(inode: FileInode, image: Image, task: (update: ImageUpdate) => Promise<T>): Promise<T> {
    const cause: Cause = { inode, pagesAreCurrent: false, invalidations: [] };
    const result = await this.#update(image, cause, task, true);
    await this.#invalidations.settle(this.#invalidations.send(cause.invalidations));
    return result;
  }

  /** The kernel's pages of an inode are not its bytes. Where it cannot be told, it finds out at the next open: by the time. */
  async drop(inode: FileInode): Promise<void> {
    if (!this.#invalidations.connected) this.#attributes.touch(inode);
    const { nodeid } = inode;
    await this.#invalidations.settle(
      this.#invalidations.send([{ kind: 'pages', nodeid, offset: 0, length: 0 }]),
    );
  }

  /**
   * An open with O_TRUNC made the kernel believe that the file is empty, and writes to the copy would make it as long as they
   * reach. Others go on reading the old bytes, so it hears where they end.
   */
  async keepEnd(inode: FileInode): Promise<void> {
    const { nodeid, content } = inode;
    if (!this.#invalidations.connected || !(content.kind === 'extents' || content.kind === 'rendered'))
      return;
    if (content.size === 0) return;
    const offset = content.size - 1;
    const bytes =
      content.kind === 'extents'
        ? await readExtents(content.extents, offset, 1)
        : await content.read(offset, 1);
    await this.#invalidations.settle(this.#invalidations.send([{ kind: 'end', nodeid, offset, bytes }]));
  }

  /** Waits for the invalidations of what was changed through no inode. */
  settled(): Promise<void> {
    return this.#invalidations.settle(this.#latest);
  }

  async #update<T>(
    image: Image,
    cause: Cause,
    task: (update: ImageUpdate) => Promise<T>,
    atomic: boolean,
  ): Promise<T> {
    this.#follow(image);
    try {
      return await image.update(
        (update) => {
          this.#causes.set(image, cause);
          return task(update);
        },
        { atomic },
      );
    } finally {
      if (this.#causes.get(image) === cause) this.#causes.delete(image);
    }
  }

  #follow(image: Image): void {
    if (this.#followed.has(image)) return;
    this.#followed.set(
      image,
      image.onChange((change) => this.#changed(image, change)),
    );
  }

  #changed(image: Image, change: ImageChange): void {
    const cause = this.#causes.get(image);
    this.#causes.delete(image);
    const invalidations: Invalidation[] = [];
    let causeTouched = change.ranges.length === 0;
    for (const { inode, ranges } of this.#index.overlapping(image, change.ranges)) {
      this.#attributes.touch(inode);
      invalidate(inode);
      if (inode === cause?.inode) {
        causeTouched = true;
        if (cause.pagesAreCurrent) continue;
      }
      const whole = inode === cause?.inode ? WHOLE_FILE : ranges;
      for (const range of whole) invalidations.push({ kind: 'pages', nodeid: inode.nodeid, ...range });
    }
    if (cause === undefined) {
      queueMicrotask(() => {
        this.#latest = this.#invalidations.send(invalidations);
      });
      return;
    }
    if (!causeTouched) {
      this.#attributes.touch(cause.inode);
      invalidate(cause.inode);
    }
    cause.invalidations = invalidations;
  }
}

const WHOLE_FILE = [{ offset: 0, length: 0 }] as const;

/** What was computed from bytes that are others now. */
function invalidate({ content }: FileInode): void {
  if (content.kind === 'rendered' || content.kind === 'snapshot') content.invalidate?.();
}
