/** A random-access run of bytes of a known size: what parsers read from. */
export interface ByteSource {
  /** What messages call it. */
  readonly path: string;
  readonly size: number;
  /**
   * Reads exactly `length` bytes at `offset`.
   * Throws ERR_MLFS_TRUNCATED when the range leaves the source, ERR_MLFS_IO when the medium fails.
   */
  read(offset: number, length: number): Promise<Buffer>;
  /**
   * The same at once, blocking: for many small reads of what is probably cached, where handing each to another thread would cost
   * twenty times the read. Sources that cannot be quick do not have it.
   */
  readNow?(offset: number, length: number): Buffer;
}
