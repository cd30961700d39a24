/** A run of an open file, in bytes. Whoever is given one may read it until the work on it has ended: the descriptor stays open. */
export interface FileRun {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}
