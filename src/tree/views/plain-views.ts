/**
 * The files of a writable mount that need no record of their own to be found when bytes of the image change: the tensors that are one run of
 * it, and what every view shows of them. The nodeid of a file in a view follows from the tensor's.
 */
import type { FileRange, PlainFiles } from '../../inode.ts';
import type { Image } from '../../storage/image.ts';
import type { DirtyRange } from '../../storage/overlay.ts';

/** One view, as far as it shows plain files. */
export interface PlainView {
  /** The tensor's own file that a file of this view shows; undefined for every other inode. */
  tensorOf(nodeid: number): number | undefined;
  /** The file that shows a tensor, and where it shows these bytes of the tensor; undefined if it shows none of them. */
  shown(
    tensor: number,
    ranges: readonly FileRange[],
  ): { readonly nodeid: number; readonly ranges: readonly FileRange[] } | undefined;
}

export class PlainFilesInViews implements PlainFiles {
  readonly #tensors: PlainFiles;
  readonly #views: readonly PlainView[];

  constructor(tensors: PlainFiles, views: readonly PlainView[]) {
    this.#tensors = tensors;
    this.#views = views;
  }

  has(nodeid: number): boolean {
    if (this.#tensors.has(nodeid)) return true;
    for (const view of this.#views) {
      const tensor = view.tensorOf(nodeid);
      if (tensor !== undefined) return this.#tensors.has(tensor);
    }
    return false;
  }

  *overlapping(
    image: Image,
    ranges: readonly DirtyRange[],
  ): Generator<{ readonly nodeid: number; readonly ranges: readonly FileRange[] }> {
    for (const found of this.#tensors.overlapping(image, ranges)) {
      yield found;
      for (const view of this.#views) {
        const shown = view.shown(found.nodeid, found.ranges);
        if (shown !== undefined) yield shown;
      }
    }
  }
}
