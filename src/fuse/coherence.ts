/**
 * Keeps every view of the same bytes current. An image that changes reports which bytes changed; this class finds the inodes that show them.
 * Their mtime rises, their rendered pages are dropped, and the kernel is told to drop its pages of them.
 *
 * Invariant: an inode of which the kernel may keep something is in the index, from `remember` to `forget`. The kernel reads dropped pages
 * again only after the data plane has the new bytes, because invalidations are sent when all listeners of the image have been called.
 *
 * A change that concerns many inodes (a discard, the replacement of a large tensor) is told in parts, one for each turn of the event loop. It is
 * acknowledged after the last of them.
 */

import { setImmediate } from 'node:timers/promises';
import type { FileInode, FileRange, Inode, PlainFiles } from '../inode.ts';
import type { Extent } from '../storage/extent.ts';
import type { Image, ImageChange, ImageUpdate } from '../storage/image.ts';
import type { DirtyRange } from '../storage/overlay.ts';
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
  told: Told;
}

/** What a change concerns: the part that was found at once, and the parts that are still to be looked for. */
interface Told {
  readonly first: readonly Invalidation[];
  readonly rest: Parts | undefined;
}

type Parts = Generator<readonly Invalidation[], readonly Invalidation[]>;

type ImageExtent = Extent & { readonly kind: 'image' };

const NOTHING_TOLD: Told = { first: [], rest: undefined };
/** Inodes in one part: each takes some 10 to 50 µs, most of it for the attributes in the inode table. */
const INODES_A_PART = 256;

export interface CoherenceOptions {
  readonly invalidations: Invalidations;
  readonly attributes: AttributeChanges;
  /** Files that are found without having been remembered. */
  readonly plainFiles: () => PlainFiles | undefined;
  /** The object of such a file, if somebody has asked for it: it may have made something of the bytes. */
  readonly made: (nodeid: number) => Inode | undefined;
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
  /** The changes without an inode so far: discards. */
  #latest: Promise<Sent> = Promise.resolve(NOTHING);
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
    const cause: Cause = { inode, nodeid: inode.nodeid, pagesAreCurrent: true, told: NOTHING_TOLD };
    try {
      return await this.#update(image, cause, task, false);
    } finally {
      await this.#invalidations.settleWrite(inode.nodeid, await this.#tell(cause.told));
    }
  }

  /** Replaces the bytes of an inode, all of them or none. */
  async replace<T>(inode: FileInode, image: Image, task: (update: ImageUpdate) => Promise<T>): Promise<T> {
    const cause: Cause = { inode, nodeid: inode.nodeid, pagesAreCurrent: false, told: NOTHING_TOLD };
    const result = await this.#update(image, cause, task, true);
    await this.#invalidations.settle(await this.#tell(cause.told));
    return result;
  }

  /** What the data plane must know to write to a file that is this run of an image. */
  writesInPlace(nodeid: number, extent: ImageExtent): WritesInPlace {
    const { image, offset, length } = extent;
    this.#follow(image);
    return { image, offset, size: length, others: this.#plainBeside(nodeid, extent) };
  }

  /**
   * Whether of the inodes that show bytes of the run the kernel refers at most to this one and to the `others` of `writesInPlace`. It stays true
   * until `onRemembered` is called, so the caller must pass the answer on at once.
   */
  isAlone(nodeid: number, extent: ImageExtent): boolean {
    this.#options.takeNews();
    for (const { inode } of this.#index.overlapping(extent.image, rangeOf(extent)))
      if (inode.nodeid !== nodeid) return false;
    return this.#plainBeside(nodeid, extent).length <= MOST_OTHERS;
  }

  /** More than MOST_OTHERS of them count as too many to look at, however many they are. */
  #plainBeside(nodeid: number, extent: ImageExtent): readonly number[] {
    const others: number[] = [];
    for (const plain of this.#options.plainFiles()?.overlapping(extent.image, rangeOf(extent)) ?? []) {
      if (plain.nodeid !== nodeid) others.push(plain.nodeid);
      if (others.length > MOST_OTHERS) break;
    }
    return others;
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
  async settled(): Promise<void> {
    await this.#invalidations.settle(await this.#latest);
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
    if (change.native !== undefined) {
      // The data plane shows the new bytes already. Several writes may wait for this.
      const { nodeid } = change.native;
      const invalidations = allOf(this.#concerned(image, change, { nodeid, pagesAreCurrent: true }));
      if (invalidations.length > 0) this.#latestNative = this.#send(invalidations);
      return;
    }
    const cause = this.#causes.get(image);
    this.#causes.delete(image);
    const parts = this.#concerned(image, change, cause);
    const { done, value: first } = parts.next();
    const told = { first, rest: done === true ? undefined : parts };
    if (cause !== undefined) {
      cause.told = told;
      return;
    }
    // A failure is for those who wait for this change, and not for later ones.
    const before = this.#latest.catch(() => NOTHING);
    this.#latest = Promise.resolve().then(async () => {
      const [earlier, own] = await Promise.all([before, this.#tell(told)]);
      return { done: Promise.all([earlier.done, own.done]).then(() => undefined) };
    });
    // Nobody may be waiting.
    this.#latest.catch(() => undefined);
  }

  /** Touches the inodes that a change concerns, and gives their invalidations in parts. */
  *#concerned(
    image: Image,
    { ranges, native }: ImageChange,
    cause: (Pick<Cause, 'nodeid' | 'pagesAreCurrent'> & { readonly inode?: FileInode }) | undefined,
  ): Parts {
    let part: Invalidation[] = [];
    let inodes = 0;
    let causeTouched = ranges.length === 0;
    for (const touched of this.#touch(image, ranges, native?.atMs)) {
      if (inodes === INODES_A_PART) {
        yield part;
        part = [];
        inodes = 0;
      }
      inodes++;
      const { nodeid } = touched;
      const isCause = nodeid === cause?.nodeid;
      if (isCause) causeTouched = true;
      if (isCause && cause?.pagesAreCurrent === true) continue;
      for (const range of isCause ? WHOLE_FILE : touched.ranges)
        part.push({ kind: 'pages', nodeid, ...range });
    }
    if (cause?.inode !== undefined && !causeTouched) {
      this.#attributes.touch(cause.inode);
      invalidate(cause.inode);
    }
    return part;
  }

  *#touch(
    image: Image,
    changed: ImageChange['ranges'],
    atMs: number | undefined,
  ): Generator<{ readonly nodeid: number; readonly ranges: readonly FileRange[] }> {
    const plain = this.#options.plainFiles();
    const mtimeMs = this.#options.plainMtimeMs();
    for (const { inode, ranges } of this.#index.overlapping(image, changed)) {
      this.#attributes.touch(inode, atMs);
      invalidate(inode);
      yield { nodeid: inode.nodeid, ranges };
    }
    for (const found of plain?.overlapping(image, changed) ?? []) {
      this.#attributes.touch({ nodeid: found.nodeid, mtimeMs }, atMs);
      const made = this.#options.made(found.nodeid);
      if (made?.kind === 'file') invalidate(made);
      yield found;
    }
  }

  /** Sends the invalidations of all parts, each part in a turn of the event loop of its own. */
  async #tell({ first, rest }: Told): Promise<Sent> {
    const sent = [this.#send(first)];
    for (let ended = rest === undefined; !ended; ) {
      await setImmediate();
      const { done, value } = (rest as Parts).next();
      sent.push(this.#send(value));
      ended = done === true;
    }
    return { done: Promise.all(sent.map(({ done }) => done)).then(() => undefined) };
  }
}

function allOf(parts: Parts): readonly Invalidation[] {
  const all: Invalidation[] = [];
  for (;;) {
    const { done, value } = parts.next();
    for (const invalidation of value) all.push(invalidation);
    if (done === true) return all;
  }
}

function rangeOf({ offset, length }: ImageExtent): readonly DirtyRange[] {
  return [{ start: offset, end: offset + length }];
}

const WHOLE_FILE = [{ offset: 0, length: 0 }] as const;

/** Content that was computed from bytes that have changed. */
function invalidate({ content }: FileInode): void {
  if (content.kind === 'rendered' || content.kind === 'snapshot') content.invalidate?.();
}
