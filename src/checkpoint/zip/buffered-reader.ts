import { RandomAccessReader } from 'yauzl';
import type { ByteSource } from '../../storage/byte-source.ts';

/**
 * yauzl's random-access reader over a byte source. The archive's last run, from the central directory to its end, is given with
 * it and answered at once; what lies before goes to the source.
 */
export class BufferedReader extends RandomAccessReader {
  readonly #source: ByteSource;
  readonly #offset: number;
  readonly #bytes: Buffer;

  constructor(source: ByteSource, offset: number, bytes: Buffer) {
    super();
    this.#source = source;
    this.#offset = offset;
    this.#bytes = bytes;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    const at = position - this.#offset;
    if (at >= 0) {
      const missing = at + length > this.#bytes.length;
      if (!missing) this.#bytes.copy(buffer, offset, at, at + length);
      callback(missing ? new Error('the archive ends in it') : null);
      return;
    }
    this.#source.read(position, length).then(
      (bytes) => {
        bytes.copy(buffer, offset);
        callback(null);
      },
      (error: Error) => callback(error),
    );
  }
}
