/**
 * Files that are each one range of the same checkpoint file, as columns: a model may have 200,000 of them. Nodeids are ascending; offsets and
 * lengths are in bytes.
 */
export interface FileRanges {
  readonly nodeids: Uint32Array;
  readonly offsets: Float64Array;
  readonly lengths: Float64Array;
}

export function rangeCount({ nodeids }: FileRanges): number {
  return nodeids.length;
}

/** Columns that grow. */
export class FileRangesBuilder {
  #nodeids = new Uint32Array(64);
  #offsets = new Float64Array(64);
  #lengths = new Float64Array(64);
  #count = 0;

  add(nodeid: number, offset: number, length: number): void {
    if (this.#count === this.#nodeids.length) this.#grow();
    this.#nodeids[this.#count] = nodeid;
    this.#offsets[this.#count] = offset;
    this.#lengths[this.#count] = length;
    this.#count++;
  }

  finish(): FileRanges {
    return {
      nodeids: this.#nodeids.slice(0, this.#count),
      offsets: this.#offsets.slice(0, this.#count),
      lengths: this.#lengths.slice(0, this.#count),
    };
  }

  #grow(): void {
    const size = this.#count * 2;
    const nodeids = new Uint32Array(size);
    const offsets = new Float64Array(size);
    const lengths = new Float64Array(size);
    nodeids.set(this.#nodeids);
    offsets.set(this.#offsets);
    lengths.set(this.#lengths);
    this.#nodeids = nodeids;
    this.#offsets = offsets;
    this.#lengths = lengths;
  }
}
