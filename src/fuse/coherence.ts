/**
 * Keeps every view of the same bytes current. An image that changes reports which bytes changed; this class finds the inodes that show them.
 * Their mtime rises, their rendered pages are dropped, and the kernel is told to drop its pages of them.
 *
 * Invariant: an inode of which the kernel may keep something is in the index, from `remember` to `forget`. The kernel reads dropped pages
 * again only after the data plane has the new bytes, because invalidations are sent when all listeners of the image have been called.
 */

import type { FileInode, PlainFiles } from '../inode.ts';
import type { Extent } from '../storage/extent.ts';
import type { Image, ImageChange, ImageUpdate } from '../storage/image.ts';
import { readExtents } from '../storage/read-extents.ts';
import type { AttributeChanges } from './attribute-changes.ts';
import type { Invalidation, WritesInPlace } from './filesystem.ts';
import { type Invalidations, NOTHING, type Sent } from './invalidation.ts';
import { OverlappingInodes } from './overlapping-inodes.ts';

/** The inode through which an image is being changed. */
interface Cause {
  readonly inode: FileInode;
  readonly nodeid: number;
  /** The kernel has put the bytes into its own pages of the inode. */
  readonly pagesAreCurrent: boolean;
  invalidations: readonly Invalidation[];
}

export interface CoherenceOptions {
  readonly invalidations: Invalidations;
  readonly attributes: AttributeChanges;
  /** Files that are found without having been remembered. */
  readonly plainFiles: () => PlainFiles | undefined;
  /** The mtime of these files in the tree. */
  readonly plainMtimeMs: () => number;
  /** Remembers the inodes to which the kernel got references without JavaScript. */
  readonly takeNews: () => void;
  /** Whether the kernel refers to an inode. */
  readonly isReferenced: (nodeid: number) => boolean;
  /** An inode was remembered. */
  readonly onRemembered: () => void;
}

/** Beyond this many other files over the same bytes, looking at each costs more than a write that JavaScript answers. */
const MOST_OTHERS = 64;

export class Coherence {
  readonly #options: CoherenceOptions;
  readonly #index = new OverlappingInodes();
  readonly #invalidations: Invalidations;
  readonly #attributes: AttributeChanges;
  readonly #followed = new Map<Image, () => void>();
  /** Updates of one image are exclusive, so there is one cause at a time. */
  readonly #causes = new Map<Image, Cause>();
  /** The latest change without an inode: a discard. */
  #latest: Sent = NOTHING;
  /** The latest writes of the data plane. */
  #latestNative: Sent = NOTHING;

  constructor(options: CoherenceOptions) {
    this.#options = options;
    this.#invalidations = options.invalidations;
    this.#attributes = options.attributes;
  }

  /** From now on the kernel may keep something of the inode. */
  remember(inode: FileInode): void {
    if (this.#index.has(inode.nodeid) || this.#options.plainFiles()?.has(inode.nodeid) === true) return;
    this.#index.add(inode);
    this.#options.onRemembered();
    for (const image of this.#index.images) this.#follow(image);
  }

  forget(inode: FileInode): void {
    this.#index.remove(inode.nodeid);
    // From here on nobody reports changes to it.
    invalidate(inode);
  }

  /** Carries out a WRITE. When the promise settles, the other views are current, unless waiting could deadlock. */
  async write<T>(inode: FileInode, image: Image, task: (update: ImageUpdate) => Promise<T>): Promise<T> {
    const cause: Cause = { inode, nodeid: inode.nodeid, pagesAreCurrent: true, invalidations: [] };
    try {
      return await this.#update(image, cause, task, false);
    } finally {
      await this.#invalidations.settleWrite(inode.nodeid, this.#send(cause.invalidations));
    }
  }

  /** Replaces the bytes of an inode, all of them or none. */
  async replace<T>(inode: FileInode, image: Image, task: (update: ImageUpdate) => Promise<T>): Promise<T> {
    const cause: Cause = { inode, nodeid: inode.nodeid, pagesAreCurrent: false, invalidations: [] };
    const result = await this.#update(image, cause, task, true);
    await this.#invalidations.settle(this.#send(cause.invalidations));
    return result;
  }

  /** What the data plane must know to write to a file that is this run of an image. */
  writesInPlace(nodeid: number, extent: Extent & { readonly kind: 'image' }): WritesInPlace | undefined {
    const { image, offset, length } = extent;
    this.#follow(image);
    this.#options.takeNews();
    const range = [{ start: offset, end: offset + length }];
    const others: number[] = [];
    for (const plain of this.#options.plainFiles()?.overlapping(image, range) ?? [])
      if (plain.nodeid !== nodeid) others.push(plain.nodeid);
    let alone = others.length <= MOST_OTHERS;
    for (const { inode } of this.#index.overlapping(image, range)) alone &&= inode.nodeid === nodeid;
    return { image, offset, size: length, others: alone ? others : [], alone };
  }

  /** For a write that the data plane made and the image took up: waits for the other views as `write` does. */
  settleNative(nodeid: number): Promise<void> {
    return this.#invalidations.settleWrite(nodeid, this.#latestNative);
  }

  /** The kernel's pages of an inode are not its bytes. If the kernel cannot be told, it notices at the next open, by the mtime. */
  async drop(inode: FileInode): Promise<void> {
    if (!this.#invalidations.connected) this.#attributes.touch(inode);
    const { nodeid } = inode;
    await this.#invalidations.settle(
      this.#invalidations.send([{ kind: 'pages', nodeid, offset: 0, length: 0 }]),
    );
  }

  /**
   * After an open with O_TRUNC the kernel believes that the file is empty, and that writes to the copy make the file longer. Other readers go
   * on reading the old bytes, so the kernel is told where they end.
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

  /** Waits for the invalidations of changes without an inode. */
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

  /**
   * Of plain files, only those that the kernel has are invalidated. This is asked here and not before: a reference that comes later reads the
   * new bytes, because all listeners of the image have been called.
   */
  #send(invalidations: readonly Invalidation[]): Sent {
    const { isReferenced, plainFiles } = this.#options;
    const plain = plainFiles();
    return this.#invalidations.send(
      invalidations.filter(
        (one) => one.kind !== 'pages' || plain?.has(one.nodeid) !== true || isReferenced(one.nodeid),
      ),
    );
  }

  #changed(image: Image, change: ImageChange): void {
    this.#options.takeNews();
    const { native } = change;
    const cause =
      native === undefined ? this.#causes.get(image) : { nodeid: native.nodeid, pagesAreCurrent: true };
    if (native === undefined) this.#causes.delete(image);
    const invalidations: Invalidation[] = [];
    let causeTouched = change.ranges.length === 0 || native !== undefined;
    for (const { inode, ranges } of this.#index.overlapping(image, change.ranges)) {
      this.#attributes.touch(inode, native?.atMs);
      invalidate(inode);
      if (inode.nodeid === cause?.nodeid) {
        causeTouched = true;
        if (cause.pagesAreCurrent) continue;
      }
      const whole = inode.nodeid === cause?.nodeid ? WHOLE_FILE : ranges;
      for (const range of whole) invalidations.push({ kind: 'pages', nodeid: inode.nodeid, ...range });
    }
    for (const { nodeid, ranges } of this.#options.plainFiles()?.overlapping(image, change.ranges) ?? []) {
      this.#attributes.touch({ nodeid, mtimeMs: this.#options.plainMtimeMs() }, native?.atMs);
      const isCause = nodeid === cause?.nodeid;
      if (isCause) {
        causeTouched = true;
        if (cause?.pagesAreCurrent === true) continue;
      }
      for (const range of isCause ? WHOLE_FILE : ranges)
        invalidations.push({ kind: 'pages', nodeid, ...range });
    }
    if (native !== undefined) {
      // The data plane shows the new bytes already. Several writes may wait for this.
      if (invalidations.length > 0) this.#latestNative = this.#send(invalidations);
      return;
    }
    if (cause === undefined || !('inode' in cause)) {
      queueMicrotask(() => {
        this.#latest = this.#send(invalidations);
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

/** Content that was computed from bytes that have changed. */
function invalidate({ content }: FileInode): void {
  if (content.kind === 'rendered' || content.kind === 'snapshot') content.invalidate?.();
}
