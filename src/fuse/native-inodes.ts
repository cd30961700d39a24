import type { Image } from '../storage/image.ts';
import type { NativeInodeTable } from '../storage/native.ts';

/**
 * The inode table of a transport with native threads: what is in it is answered without JavaScript. Everything that is put in is what the
 * Filesystem would answer.
 */
export interface NativeInodes
  extends Pick<
    NativeInodeTable,
    | 'addInodes'
    | 'changeInode'
    | 'withdrawInodes'
    | 'publishListings'
    | 'withdrawListing'
    | 'withdrawAll'
    | 'setStatfs'
    | 'references'
    | 'takeRemembered'
  > {
  /** Inodes with this nodeid and higher ones have no place in the table. */
  readonly limit: number;
  /** Who owns inodes without changes, and how long the kernel may keep what it is told. */
  setDefaults(defaults: { uid: number; gid: number; readOnly: boolean; keepMs: number }): void;
  /** The number of a room in a row. */
  roomNumber(room: string): number;
  /** The number of an image's file in a row. The image must be held before the next turn of the event loop. */
  fileOf(image: Image): number;
  /** Rows that belong to `owner` name these images from now on, and no others. */
  hold(owner: object, images: ReadonlySet<Image>): void;
}
