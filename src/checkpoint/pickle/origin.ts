import type { Image } from '../../storage/image.ts';

/** Where the bytes of a pickle lie in the file, when they lie there as they are. */
export interface PickleOrigin {
  readonly image: Image;
  readonly bytes: Buffer;
  readonly offset: number;
}
