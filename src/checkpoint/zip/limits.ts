/** Limits for one archive. The largest real checkpoints known have some 150,000 tensors. */
export const LIMITS = {
  entries: 262_144,
  /** Also bounds the sum of all names. A torch entry takes some 70 bytes. */
  centralDirectoryBytes: 64 * 1024 * 1024,
} as const;
