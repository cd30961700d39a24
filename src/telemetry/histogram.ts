/** Counts durations by class. */
export interface HistogramCounts {
  /** Upper bounds of the classes, ascending. */
  readonly bounds: readonly number[];
  /** Observations in each class; one more class counts those beyond the last bound. */
  readonly counts: readonly number[];
  readonly sum: number;
}

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  get counts(): HistogramCounts {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }

  observe(value: number): void {
    const index = this.#bounds.findIndex((bound) => value <= bound);
    const at = index < 0 ? this.#bounds.length : index;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#sum += value;
  }
}
