/**
 * How far two tensors of the same dtype and shape are apart, added up over blocks of whole elements.
 *
 * An element that differs either has a distance, |a - b|, or it is counted under the reason why it has none: NaN and infinities have no
 * distance, and neither has a difference that a double cannot hold. So a distance of 0 always means equal numbers. 64-bit integers are
 * subtracted exactly, complex numbers as whole elements.
 */
import { DTYPES, type DType, numbersPerItem, partsOf } from '../checkpoint/dtypes.ts';
import { type Decode, decoderOf } from './decode.ts';
import { WideSum } from './wide-sum.ts';

export interface Distance {
  /** Elements whose bits differ. Numbers that share a byte are elements each, also where torch's shape counts the bytes. */
  readonly elements: number;
  readonly elementsTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
  /** Elements that were finite and are NaN or infinite now. */
  readonly becameNonFinite: number;
  /** Elements that were NaN or infinite and are finite now. */
  readonly becameFinite: number;
  /** Elements that differ and are not finite on either side: another sign of infinity, a NaN with other bits. */
  readonly stayedNonFinite: number;
  /** Elements that are finite on both sides and whose |a - b| is larger than any double. */
  readonly beyondDouble: number;
  /**
   * The largest |a - b| of the elements that have one: exact for integers, a bigint beyond 2^53. Null when no element that differs has a distance, and
   * for elements that are not numbers.
   */
  readonly maxDistance: number | bigint | null;
  /** The sum of the distances divided by the number of all elements; null when `maxDistance` is. */
  readonly meanDistance: number | null;
  /** |a - b| / |a| by the Euclidean norm of the finite elements; null when `maxDistance` is, and when a is zero everywhere. */
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
  /** Numbers an element is made of: two for complex dtypes. */
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

  /** The next block of both tensors; the blocks are equally long. */
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
   * Of all that was added; undefined when no byte differs. `size`: bytes of either tensor. `elementsTotal`: its elements, where those do not fill the
   * last byte that they share.
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
    // NaN and infinity have no part in a norm.
    if (Number.isFinite(value)) this.#ownSquares.addSquare(value);
  }

  #addInteger(difference: bigint): void {
    const distance = difference < 0n ? -difference : difference;
    if (distance > this.#maxInteger) this.#maxInteger = distance;
    this.#addDistance(Number(distance));
  }

  /** The elements of one item, by their values: no two codes of less than 8 bits have the same. */
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

/** The bytes at the beginning of a buffer of their own. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
