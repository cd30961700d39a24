/** Who is measured: a way to reach the bytes of a tensor, and where that tensor lies when it is reached that way. */
import type { Subject } from '../subject.ts';

export interface Driver {
  readonly name: string;
  /** One line for the legend. */
  readonly about: string;
  /** Why it cannot be measured here, or undefined when it can. */
  readonly missing: () => string | undefined;
  /** Makes the subject readable, with nothing of it in the caches of the mount. */
  readonly open: (subject: Subject, options?: OpenOptions) => Promise<Opened>;
  /** Mounts as a user would, by its own command or by a program that uses the library; undefined where there is none. */
  readonly launch?: (subject: Subject, how: 'command' | 'library') => Promise<Opened | undefined>;
  /** It only knows the big tensor: no tree, so no directory walks. */
  readonly tensorOnly?: boolean;
  /** There is nothing to mount: reads go to the checkpoint itself. */
  readonly direct?: boolean;
  /** Its tensor can be written over. */
  readonly editable?: boolean;
}

export interface OpenOptions {
  /** Processors the server may use. */
  readonly cpus?: string | undefined;
  /** It is opened to be written over, and this is where edits are kept: the checkpoint itself stays as it is. */
  readonly state?: string;
  /** Budget of the server's own cache, as `--cache-size` takes it. */
  readonly cacheSize?: string;
}

export interface Opened {
  /** The file to read, and the range of it that is the tensor. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** The root of the mount, for walks. */
  readonly root: string;
  /** Another name of the same tensor, where the subject has one. */
  readonly tied?: string;
  /** The folder of what the mount says about itself, in a mount of ours. */
  readonly documents?: string;
  /** The process that serves it. */
  readonly pid?: number;
  close(): Promise<void>;
}
