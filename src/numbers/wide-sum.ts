/**
 * A sum of non-negative doubles, or of their squares, that neither overflows nor underflows: very large and very small terms are summed at
 * scales of their own (J. L. Blue, "A Portable Fortran Program to Find the Euclidean Norm of a Vector", 1978).
 */

/** Values outside these bounds have squares that a double cannot hold, or cannot hold exactly. */
const LARGE = 2 ** 500;
const SMALL = 2 ** -500;
/** Scales any double beyond a bound so that its square, and a sum of 2^53 squares, is an ordinary double. */
const SCALE_EXPONENT = 600;
const DOWN = 2 ** -SCALE_EXPONENT;
const UP = 2 ** SCALE_EXPONENT;

export class WideSum {
  #middle = 0;
  /** Scaled by 2^-1200. */
  #large = 0;
  /** Scaled by 2^1200. */
  #small = 0;

  /** Adds `value`, which is finite and not negative. */
  add(value: number): void {
    if (value > LARGE) this.#large += value * DOWN * DOWN;
    else this.#middle += value;
  }

  /** Adds the square of a finite value. */
  addSquare(value: number): void {
    const size = Math.abs(value);
    if (size > LARGE) this.#large += (size * DOWN) ** 2;
    else if (size < SMALL) this.#small += (size * UP) ** 2;
    else this.#middle += size * size;
  }

  /** The sum divided by `count`. The mean of doubles is a double even where their sum is not. */
  dividedBy(count: number): number {
    // Rounding can push a mean of the largest doubles beyond the largest.
    return Math.min(Number.MAX_VALUE, this.#middle / count + (this.#large / count) * UP * UP);
  }

  /** sqrt(this / other) of two sums of squares; null when `other` is zero or the root exceeds every double. */
  rootOfRatio(other: WideSum): number | null {
    const own = this.#root();
    const divisor = other.#root();
    if (divisor.value === 0) return null;
    const ratio = (own.value / divisor.value) * 2 ** (own.exponent - divisor.exponent);
    return Number.isFinite(ratio) ? ratio : null;
  }

  /** The square root as value · 2^exponent. */
  #root(): { readonly value: number; readonly exponent: number } {
    if (this.#large > 0) {
      // The other terms are less than an ulp of the large ones, unless both are near the bound.
      return { value: Math.sqrt(this.#large + this.#middle * DOWN * DOWN), exponent: SCALE_EXPONENT };
    }
    if (this.#middle > 0) return { value: Math.sqrt(this.#middle + this.#small * DOWN * DOWN), exponent: 0 };
    return { value: Math.sqrt(this.#small), exponent: -SCALE_EXPONENT };
  }
}
