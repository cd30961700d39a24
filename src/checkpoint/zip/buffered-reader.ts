import { RandomAccessReader } from 'yauzl';
import type { ByteSource } from '../../storage/byte-source.ts';

/**
 * yauzl's random-access reader over a byte source. The run that is given with it (the central directory and the end
 * records) is answered from memory and at once; everything else goes to the source.
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
    if (at >= 0 && at + length <= this.#bytes.length) {
      this.#bytes.copy(buffer, offset, at, at + length);
      callback(null);
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
