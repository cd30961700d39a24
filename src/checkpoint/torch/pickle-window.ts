import { MlfsError } from '../../errors.ts';
import type { ByteSource } from '../../storage/byte-source.ts';
import { TruncatedPickle } from '../pickle/refusal.ts';

export interface PickleWindow {
  /** Where the pickles start, and where they end at the latest. */
  readonly start: number;
  readonly end: number;
  /** How much is read before it is known how long they are. */
  readonly firstBytes: number;
  readonly limitBytes: number;
}

/**
 * Interprets pickles of unknown length: reads a window of the source, and a larger one as long as a pickle goes on past it.
 * Throws ERR_MLFS_LIMIT when they have more than `limitBytes`.
 */
export async function withPickleWindow<T>(
  source: ByteSource,
  { start, end, firstBytes, limitBytes }: PickleWindow,
  read: (bytes: Buffer) => T,
): Promise<T> {
  for (let window = firstBytes; ; window *= 4) {
    const length = Math.min(window, end - start, limitBytes);
    try {
      return read(await source.read(start, length));
    } catch (cause) {
      const goesOn = cause instanceof MlfsError && cause.cause instanceof TruncatedPickle;
      if (!goesOn || length === end - start) throw cause;
      if (length < limitBytes) continue;
      throw new MlfsError(
        'ERR_MLFS_LIMIT',
        `${source.path}: its pickles have more than ${limitBytes} bytes`,
        {
          path: source.path,
          cause,
        },
      );
    }
  }
}
