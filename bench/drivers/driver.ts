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
}

export interface OpenOptions {
  /** Processors the server may use. */
  readonly cpus?: string | undefined;
}

export interface Opened {
  /** The file to read, and the range of it that is the tensor. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** The root of the mount, for walks. */
  readonly root: string;
  /** The process that serves it. */
  readonly pid?: number;
  close(): Promise<void>;
}
