/** A random-access run of bytes of a known size: what parsers read from. */
export interface ByteSource {
  /** Name of the source in messages. */
  readonly path: string;
  readonly size: number;
  /**
   * Reads exactly `length` bytes at `offset`.
   * Throws ERR_MLFS_TRUNCATED when the range leaves the source, ERR_MLFS_IO when the medium fails.
   */
  read(offset: number, length: number): Promise<Buffer>;
  /**
   * Reads synchronously, for many small reads that are probably cached: a thread would cost twenty times as much as the read. Sources that
   * may block for long do not have it.
   */
  readNow?(offset: number, length: number): Buffer;
}
