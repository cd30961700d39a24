/** Who is measured: a way to reach the bytes of a tensor, and the place of the tensor that way. */
import type { Subject } from '../subject.ts';

export interface Driver {
  readonly name: string;
  /** One line for the legend. */
  readonly about: string;
  /** Why it cannot be measured here; undefined if it can. */
  readonly missing: () => string | undefined;
  /** Makes the subject readable, with none of it in the caches of the mount. */
  readonly open: (subject: Subject, options?: OpenOptions) => Promise<Opened>;
  /** Mounts as a user would, by the driver's own command or by a program that uses the library; undefined if there is neither. */
  readonly launch?: (
    subject: Subject,
    how: 'command' | 'library',
    options?: Pick<OpenOptions, 'state'>,
  ) => Promise<Opened | undefined>;
  /** It serves only the large tensor: no tree, so no directory walks. */
  readonly tensorOnly?: boolean;
  /** It has only a tree of small files, for walks. */
  readonly treeOnly?: boolean;
  /** A peer of mounting and walking alone: it would take too long to read. */
  readonly lookOnly?: boolean;
  /** A second way of MLFS, measured where the way matters: in reads of a large tensor that is in the page cache or comes from the disk in order. */
  readonly secondary?: boolean;
  /** There is nothing to mount: reads go to the checkpoint itself. */
  readonly direct?: boolean;
  /** Its tensor can be overwritten. */
  readonly editable?: boolean;
  /** A peer of overwriting alone: it has plain files behind it and no model. */
  readonly overwriteOnly?: boolean;
}

export interface OpenOptions {
  /** Processors the server may use. */
  readonly cpus?: string | undefined;
  /** It is opened for writing, and edits are kept here: the checkpoint itself does not change. */
  readonly state?: string;
  /** The files are too small for the kernel to read them by itself: a read-only mount is measured as it is. */
  readonly tinyFiles?: boolean;
  /** Size of the server's own cache, in the form of `--cache-size`. */
  readonly cacheSize?: string;
}

export interface Opened {
  /** The file to read, and the range of it that is the tensor. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** The root of the mount, for walks. */
  readonly root: string;
  /** The files of all tensors, if the subject has several; the range is that of each. */
  readonly tensorPaths?: readonly string[];
  /** Another name of the same tensor, if the subject has one. */
  readonly tied?: string;
  /** The folder /sys, in a mount of MLFS. */
  readonly documents?: string;
  /** The process that serves it. */
  readonly pid?: number;
  close(): Promise<void>;
}
