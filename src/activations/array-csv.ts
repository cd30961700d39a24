/**
 * The text of `X.csv` beside an `X.npy`: a line for each row of the last dimension, or one value in each line if there is only one dimension.
 * It has at most a million elements: a larger array shows its first rows, and a line that says how many are missing. A file that cannot be
 * shown has a comment with the reason, so that listing a folder never fails because of its contents.
 */
import { DTYPES } from '../checkpoint/tensor.ts';
import { hasText, renderElements } from '../numbers/element-text.ts';
import { NPY_HEADER_BYTES, NpyRefusal } from '../numbers/npy-header.ts';
import { type ArrayHeader, arrayHeader } from './array-header.ts';

/** Reads at most `length` bytes at `offset`, fewer at the end of the file. */
export type ReadAt = (offset: number, length: number) => Promise<Uint8Array>;

/** Maximum number of elements shown. */
export const MOST_ELEMENTS = 1_000_000;
/** Elements that are rendered at a time. */
const SLICE = 65_536;

/** The text of an array in pieces of bounded size; `name` is for messages. */
export async function* arrayCsv(name: string, fileBytes: number, read: ReadAt): AsyncGenerator<Uint8Array> {
  try {
    const header = arrayHeader(await read(0, NPY_HEADER_BYTES));
    yield* elementsCsv(name, header, fileBytes, read);
  } catch (cause) {
    if (!(cause instanceof NpyRefusal)) throw cause;
    yield Buffer.from(`# ${name} ${cause.message}\n`);
  }
}

async function* elementsCsv(
  name: string,
  header: ArrayHeader,
  fileBytes: number,
  read: ReadAt,
): AsyncGenerator<Uint8Array> {
  const { dtype, shape, count, dataOffset, fortranOrder } = header;
  const itemsize = DTYPES[dtype];
  const present = Math.max(0, fileBytes - dataOffset);
  if (present < count * itemsize) {
    throw new NpyRefusal(`has ${present} of the ${count * itemsize} bytes of its elements`);
  }
  if (!hasText(dtype)) throw new NpyRefusal(`has elements of type ${dtype}`);
  const transposed = fortranOrder && shape.length > 1;
  if (transposed && count > MOST_ELEMENTS) {
    throw new NpyRefusal(`has ${count} elements in Fortran's order, of which no first rows are shown`);
  }
  const columns = shape.length > 1 ? (shape.at(-1) ?? 1) : 1;
  const shown = shownElements(count, columns);
  const layout = { columns: Math.max(1, columns), separator: ',' } as const;
  const elements = async (first: number, many: number) => {
    const bytes = Buffer.from(await read(dataOffset + first * itemsize, many * itemsize));
    if (bytes.length < many * itemsize) throw new NpyRefusal('became shorter while it was read');
    return header.bigEndian ? swapped(bytes, dtype.startsWith('complex') ? itemsize / 2 : itemsize) : bytes;
  };
  if (transposed) {
    const whole = await elements(0, count);
    yield* slices(count, columns, async (first, many) => inRowOrder(whole, shape, itemsize, first, many));
  } else {
    yield* slices(shown, columns, elements);
  }
  if (shown < count) {
    yield Buffer.from(`# ${name}: ${count - shown} of ${count} elements are not shown\n`);
  }

  async function* slices(total: number, row: number, at: typeof elements): AsyncGenerator<Uint8Array> {
    const step = Math.max(1, Math.floor(SLICE / Math.max(1, row))) * Math.max(1, row);
    for (let first = 0; first < total; first += step) {
      yield await renderElements(dtype, await at(first, Math.min(step, total - first)), layout);
    }
  }
}

/** Whole rows, as many as fit; of a row that is too long, its beginning. */
function shownElements(count: number, columns: number): number {
  if (count <= MOST_ELEMENTS) return count;
  return columns > MOST_ELEMENTS ? MOST_ELEMENTS : Math.floor(MOST_ELEMENTS / columns) * columns;
}

function swapped(bytes: Buffer, width: number): Buffer {
  if (width === 2) return bytes.swap16();
  if (width === 4) return bytes.swap32();
  return width === 8 ? bytes.swap64() : bytes;
}

/** The elements [first, first + many) in C order, read from an array in Fortran order. */
function inRowOrder(
  bytes: Buffer,
  shape: readonly number[],
  itemsize: number,
  first: number,
  many: number,
): Buffer {
  const rows = Buffer.allocUnsafe(many * itemsize);
  const index = indexOf(first, shape);
  for (let to = 0; to < rows.length; to += itemsize) {
    let from = 0;
    let stride = itemsize;
    for (const [dimension, size] of shape.entries()) {
      from += (index[dimension] ?? 0) * stride;
      stride *= size;
    }
    bytes.copy(rows, to, from, from + itemsize);
    for (let dimension = shape.length - 1; dimension >= 0; dimension--) {
      const next = (index[dimension] ?? 0) + 1;
      index[dimension] = next === shape[dimension] ? 0 : next;
      if (next !== shape[dimension]) break;
    }
  }
  return rows;
}

/** The index, in each dimension, of the element with this number in C order. */
function indexOf(position: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = position;
  for (const size of shape.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}
