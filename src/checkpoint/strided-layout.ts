/**
 * The arithmetic of strided views, without any I/O: which runs of a storage a tensor is made of, and how a box of it is best read.
 * All numbers are in elements unless a name says bytes; all are safe integers, checked by the caller.
 */

/** One dimension of a view. */
export interface Dim {
  readonly size: number;
  readonly stride: number;
}

/** Strides in C order; a dimension without elements counts as one element, as in torch. */
export function contiguousStride(shape: readonly number[]): number[] {
  const stride: number[] = [];
  let step = 1;
  for (const size of shape.toReversed()) {
    stride.unshift(step);
    step *= Math.max(1, size);
  }
  return stride;
}

/** The same view with as few dimensions as possible: no dimension of one element, none that continues its neighbour. */
export function collapse(shape: readonly number[], stride: readonly number[]): Dim[] {
  const dims: Dim[] = [];
  for (let index = 0; index < shape.length; index++) {
    const size = shape[index] as number;
    const step = stride[index] as number;
    if (size === 1) continue;
    const outer = dims.at(-1);
    if (outer !== undefined && outer.stride === size * step) {
      dims[dims.length - 1] = { size: outer.size * size, stride: step };
    } else {
      dims.push({ size, stride: step });
    }
  }
  return dims;
}

/** Elements of the storage from the view's first to its last, both included. */
export function span(dims: readonly Dim[]): number {
  return dims.reduce((sum, { size, stride }) => sum + (size - 1) * stride, 1);
}

export function count(dims: readonly Dim[]): number {
  return dims.reduce((product, { size }) => product * size, 1);
}

/**
 * Whether no two indices share an element: no stride is zero and no windows overlap. This is always true for views by slicing, transposing and
 * the like; some unusual views without overlap are reported as overlapping.
 */
export function isInjective(dims: readonly Dim[]): boolean {
  let reach = 0;
  for (const { size, stride } of dims.toSorted((a, b) => a.stride - b.stride)) {
    if (size > 1 && stride <= reach) return false;
    reach += (size - 1) * stride;
  }
  return true;
}

/** A box of a view: the position of its first element relative to the view's, and its dims. */
export interface ViewBox {
  /** C-order index of its first element. */
  readonly index: number;
  readonly start: number;
  readonly dims: readonly Dim[];
}

/** The elements [first, last) in C order as boxes, in order: at most two for each dim but the last. */
export function boxesOf(dims: readonly Dim[], first: number, last: number): ViewBox[] {
  const [outer, ...rest] = dims;
  if (first >= last || outer === undefined) return [];
  const inner = count(rest);
  const from = Math.ceil(first / inner);
  const to = Math.floor(last / inner);
  const part = (row: number, begin: number, end: number): ViewBox[] =>
    boxesOf(rest, begin - row * inner, end - row * inner).map((box) => ({
      index: box.index + row * inner,
      start: box.start + row * outer.stride,
      dims: box.dims,
    }));
  if (from > to) return part(to, first, last);
  return [
    ...part(from - 1, first, from * inner),
    ...(from < to
      ? [{ index: from * inner, start: from * outer.stride, dims: [{ ...outer, size: to - from }, ...rest] }]
      : []),
    ...part(to, to * inner, last),
  ];
}

/** Position of the view's element with this C-order index, relative to the view's start. */
export function locate(dims: readonly Dim[], index: number): number {
  let rest = index;
  let offset = 0;
  for (let dim = dims.length - 1; dim >= 0; dim--) {
    const { size, stride } = dims[dim] as Dim;
    offset += (rest % size) * stride;
    rest = Math.floor(rest / size);
  }
  return offset;
}

/** The contiguous runs a view consists of, in C order: their common length and the dims that enumerate their starts. */
export function runs(dims: readonly Dim[]): { readonly length: number; readonly starts: readonly Dim[] } {
  const inner = dims.at(-1);
  return inner?.stride === 1
    ? { length: inner.size, starts: dims.slice(0, -1) }
    : { length: 1, starts: dims };
}

/** A dimension of a box with its step in the output, which is in C order. */
export interface BoxDim extends Dim {
  readonly outStride: number;
}

/**
 * How a box is read: the starts of the windows are enumerated by `outer` (largest source steps first, so that reading goes forward),
 * and each window is one read of `span` elements that serves all of `inner`.
 */
export interface ReadPlan {
  readonly outer: readonly BoxDim[];
  readonly inner: readonly BoxDim[];
  readonly span: number;
  readonly windows: number;
  /** Set when a dim had to be cut: inner[0] is a piece of it, the last of outer counts the pieces, and the last piece may be shorter. */
  readonly cut: { readonly size: number; readonly piece: number } | undefined;
}

/**
 * Plans the reads of a box: dims are absorbed into the window from the smallest step up, while the gap that is read in vain
 * stays within `gap` and the window within `maxSpan`; the dim where that ends is cut into pieces that still fit.
 */
export function planReads(dims: readonly Dim[], gap: number, maxSpan: number): ReadPlan {
  let outStride = 1;
  const boxDims: BoxDim[] = [];
  for (const { size, stride } of dims.toReversed()) {
    if (size > 1) boxDims.push({ size, stride, outStride });
    outStride *= size;
  }
  boxDims.sort((a, b) => a.stride - b.stride);
  const inner: BoxDim[] = [];
  const outer: BoxDim[] = [];
  let cut: ReadPlan['cut'];
  let width = 1;
  for (const dim of boxDims) {
    const { size, stride } = dim;
    if (outer.length > 0 || stride - width > gap) {
      outer.unshift(dim);
      continue;
    }
    const piece =
      stride === 0 ? size : Math.max(1, Math.min(size, Math.floor((maxSpan - width) / stride) + 1));
    if (piece > 1) {
      inner.unshift({ ...dim, size: piece });
      width += (piece - 1) * stride;
    }
    if (piece < size) {
      const pieces = Math.ceil(size / piece);
      outer.unshift({ size: pieces, stride: stride * piece, outStride: dim.outStride * piece });
      if (piece > 1) cut = { size, piece };
    }
  }
  return { outer, inner, span: width, windows: count(outer), cut };
}
