import { MlfsError } from '../../errors.ts';
import { quoteName } from '../../visible-text.ts';

/** Which pickle a message is about. */
export interface PicklePlace {
  /** The file, as the user named it. */
  readonly path: string;
  /** The archive entry, when the pickle is one. */
  readonly entry?: string | undefined;
}

/** What a reader of raw arguments throws; the machine adds the file, the byte and the opcode. */
export class PickleFault extends Error {
  readonly code: 'ERR_MLFS_PICKLE' | 'ERR_MLFS_LIMIT';
  constructor(message: string, code: 'ERR_MLFS_PICKLE' | 'ERR_MLFS_LIMIT' = 'ERR_MLFS_PICKLE') {
    super(message);
    this.code = code;
  }
}

/** The input ended before the pickle did. */
export class TruncatedPickle extends PickleFault {}

/** `model.pt: entry "archive/data.pkl"`. */
export function placeName(place: PicklePlace): string {
  return place.entry === undefined ? place.path : `${place.path}: entry ${quoteName(place.entry)}`;
}

/** The typed error for what went wrong at `position`, in `opcode`. */
export function pickleError(
  place: PicklePlace,
  position: number,
  opcode: string,
  fault: PickleFault,
): MlfsError {
  return new MlfsError(
    fault.code,
    `${placeName(place)}: pickle byte ${position}, ${opcode}: ${fault.message}`,
    {
      path: place.path,
      cause: fault,
      advice:
        fault.code === 'ERR_MLFS_LIMIT'
          ? 'It asks for more than a checkpoint of 150,000 tensors does. A program that trusts the file can raise `limits`.'
          : 'The pickle is damaged or no pickle at all.',
    },
  );
}
