/**
 * The distance between two tensors of the same dtype and shape, summed over blocks of whole elements.
 *
 * An element that differs either has a distance, |a - b|, or is counted under the reason why it has none: NaN, an infinity, or a difference that
 * a double cannot hold. A distance of 0 therefore always means equal numbers. 64-bit integers are subtracted exactly; a complex number is one
 * element.
 */
import { DTYPES, type DType, numbersPerItem, partsOf } from '../checkpoint/dtypes.ts';
import { type Decode, decoderOf } from './decode.ts';
import { WideSum } from './wide-sum.ts';

export interface Distance {
  /** Elements whose bits differ. Each number that shares a byte is an element, even where torch's shape counts bytes. */
  readonly elements: number;
  readonly elementsTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
  /** Elements that are finite in the first tensor and NaN or infinite in the second. */
  readonly becameNonFinite: number;
  /** Elements that are NaN or infinite in the first tensor and finite in the second. */
  readonly becameFinite: number;
  /** Elements that differ and are finite in neither tensor: infinities of opposite signs, or NaNs with different bits. */
  readonly stayedNonFinite: number;
  /** Elements that are finite in both tensors and whose |a - b| exceeds every double. */
  readonly beyondDouble: number;
  /**
   * The largest |a - b|. It is exact for integers, and a bigint beyond 2^53. Null when no element that differs has a distance, and for dtypes
   * whose elements are not numbers.
   */
  readonly maxDistance: number | bigint | null;
  /** The sum of the distances divided by the number of all elements; null when `maxDistance` is null. */
  readonly meanDistance: number | null;
  /** |a - b| / |a| in the Euclidean norm of the finite elements; null when `maxDistance` is null, and when all of a is zero. */
  readonly relative: number | null;
}

type Integers = BigInt64Array | BigUint64Array;

export class DistanceSums {
  #elements = 0;
  #bytes = 0;
  #becameNonFinite = 0;
  #becameFinite = 0;
  #stayedNonFinite = 0;
  #beyondDouble = 0;
  /** Elements that differ and have a distance. */
  #measured = 0;
  #max = 0;
  #maxInteger = 0n;
  readonly #sum = new WideSum();
  readonly #squares = new WideSum();
  readonly #ownSquares = new WideSum();
  readonly #itemsize: number;
  /** Elements that share an item. */
  readonly #perItem: number;
  /** Numbers in one element: two for complex dtypes. */
  readonly #parts: number;
  readonly #decode: Decode | undefined;
  readonly #integers: ((bytes: Uint8Array) => Integers) | undefined;

  constructor(dtype: DType) {
    this.#itemsize = DTYPES[dtype];
    this.#parts = partsOf(dtype);
    this.#perItem = numbersPerItem(dtype);
    this.#decode = decoderOf(dtype);
    if (dtype === 'int64') this.#integers = (bytes) => new BigInt64Array(aligned(bytes));
    if (dtype === 'uint64') this.#integers = (bytes) => new BigUint64Array(aligned(bytes));
  }

  /** Adds the next block of both tensors; the two blocks have the same length. */
  add(a: Uint8Array, b: Uint8Array): void {
    const values = this.#decode?.(a);
    if (values !== undefined) for (let at = 0; at < values.length; at++) this.#addOwn(values[at] as number);
    if (Buffer.compare(a, b) === 0) return;
    const others = this.#decode?.(b);
    const exact = this.#integers?.(a);
    const exactOthers = this.#integers?.(b);
    for (let index = 0, start = 0; start < a.length; index++, start += this.#itemsize) {
      const different = differentBytes(a, b, start, start + this.#itemsize);
      if (different === 0) continue;
      this.#bytes += different;
      if (this.#perItem > 1) {
        this.#addShared(values ?? [], others ?? [], index);
        continue;
      }
      this.#elements++;
      if (exact !== undefined && exactOthers !== undefined) {
        this.#addInteger((exact[index] as bigint) - (exactOthers[index] as bigint));
      } else if (values !== undefined && others !== undefined) this.#addElement(values, others, index);
    }
  }

  /**
   * The distance over all blocks added so far; undefined when no byte differs. `size` is the size of one tensor in bytes. `elementsTotal` is
   * needed only where the elements may not fill the last byte that they share.
   */
  distance(size: number, elementsTotal = (size / this.#itemsize) * this.#perItem): Distance | undefined {
    if (this.#bytes === 0) return undefined;
    const measured = this.#measured > 0;
    const relative = this.#squares.rootOfRatio(this.#ownSquares);
    return {
      elements: this.#elements,
      elementsTotal,
      bytes: this.#bytes,
      bytesTotal: size,
      becameNonFinite: this.#becameNonFinite,
      becameFinite: this.#becameFinite,
      stayedNonFinite: this.#stayedNonFinite,
      beyondDouble: this.#beyondDouble,
      maxDistance: measured ? this.#maxDistance() : null,
      meanDistance: measured ? this.#sum.dividedBy(elementsTotal) : null,
      relative: measured ? relative : null,
    };
  }

  #maxDistance(): number | bigint {
    if (this.#integers === undefined) return this.#max;
    return this.#maxInteger <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(this.#maxInteger) : this.#maxInteger;
  }

  #addOwn(value: number): void {
    // NaN and infinities do not count in the norm.
    if (Number.isFinite(value)) this.#ownSquares.addSquare(value);
  }

  #addInteger(difference: bigint): void {
    const distance = difference < 0n ? -difference : difference;
    if (distance > this.#maxInteger) this.#maxInteger = distance;
    this.#addDistance(Number(distance));
  }

  /** Compares the elements that share one item by value: two different codes of less than 8 bits never have the same value. */
  #addShared(a: ArrayLike<number>, b: ArrayLike<number>, item: number): void {
    const first = item * this.#perItem;
    for (let index = first; index < first + this.#perItem; index++) {
      if (Object.is(a[index], b[index])) continue;
      this.#elements++;
      this.#addElement(a, b, index);
    }
  }

  #addElement(a: ArrayLike<number>, b: ArrayLike<number>, index: number): void {
    const first = index * this.#parts;
    const finite = isFiniteAt(a, first, this.#parts);
    const otherFinite = isFiniteAt(b, first, this.#parts);
    if (!finite || !otherFinite) {
      if (finite) this.#becameNonFinite++;
      else if (otherFinite) this.#becameFinite++;
      else this.#stayedNonFinite++;
      return;
    }
    const real = (a[first] as number) - (b[first] as number);
    const distance =
      this.#parts === 1
        ? Math.abs(real)
        : Math.hypot(real, (a[first + 1] as number) - (b[first + 1] as number));
    if (distance === Number.POSITIVE_INFINITY) this.#beyondDouble++;
    else this.#addDistance(distance);
  }

  #addDistance(distance: number): void {
    this.#measured++;
    if (distance > this.#max) this.#max = distance;
    this.#sum.add(distance);
    this.#squares.addSquare(distance);
  }
}

function isFiniteAt(values: ArrayLike<number>, first: number, parts: number): boolean {
  for (let at = first; at < first + parts; at++) if (!Number.isFinite(values[at])) return false;
  return true;
}

function differentBytes(a: Uint8Array, b: Uint8Array, start: number, end: number): number {
  let different = 0;
  for (let at = start; at < end; at++) if (a[at] !== b[at]) different++;
  return different;
}

/** A copy of the bytes at offset 0 of its own buffer. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
