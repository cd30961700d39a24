/**
 * What the conformance cases are run on: a sparse image of 6 GiB whose interesting places hold a pattern, and a tree of
 * every kind of content over it. Cases work out what they expect from these numbers alone.
 */
export const FACTS = {
  /** Byte at offset o of the image where it is no hole: o modulo this, a prime, so that no power of two repeats it. */
  period: 251,
  imageSize: 6 * 2 ** 30 + 123,
  /** Runs of the image that hold the pattern: [start, end). */
  patterned: [
    [0, 4 * 2 ** 20],
    [2 ** 31 - 2 ** 20, 2 ** 31 + 2 ** 20],
    [2 ** 32 - 2 ** 20, 2 ** 32 + 2 ** 20],
    [6 * 2 ** 30 + 123 - 2 ** 20, 6 * 2 ** 30 + 123],
  ],
  /** tensors/start.bin, tied.bin: one extent, aligned as torch aligns. */
  start: { offset: 64, size: 3 * 2 ** 20 + 17 },
  /** tensors/mixed.npy: header, run, separator, run. */
  mixed: {
    header: 'H'.repeat(128),
    first: { offset: 1000, size: 70_000 },
    separator: 'TAIL!',
    second: { offset: 200_000, size: 123_456 },
  },
  /** room/*: one storage in a hole of the image, and views of it. */
  room: {
    offset: 2 ** 30,
    /** room/a.bin and its other name room/tied.bin. */
    size: 300_000,
    /** room/part.bin: an overlapping view. */
    part: { offset: 100_001, size: 100_000 },
    /** room/second.bin: every second element of four bytes, gathered. */
    second: { elementBytes: 4, elements: 37_500 },
    /** room/floats.bin: float32, the same bytes as room/floats.txt, a number a line. */
    floats: { offset: 2 ** 30 + 2 ** 20, elements: 1000 },
    /** room/sub/other.bin. */
    other: { offset: 2 ** 30 + 2 ** 21, size: 5000 },
    /** room/weight.grad: as long as what was written to it, up to this. */
    gradientBytes: 4000,
  },
  manyCount: 5000,
  mtimeMs: 1_700_000_000_123,
  names: ['with space', 'tab\tand\nnewline', 'größe.bin', '層.bin', '🙂', 'quote\'"$(id)`', 'n'.repeat(255)],
  xattrs: { 'user.mlfs.dtype': 'uint8', 'user.mlfs.shape': '[3145745]' },
  firstLogLine: 'level=info msg="mounted"\n',
} as const;
