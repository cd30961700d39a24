import { byteOfElement, bytesOfElements, type Storage, type Tensor } from './tensor.ts';

/** Total bytes of a checkpoint's storages, and how many of them no tensor uses. */
export interface StorageUse {
  readonly bytes: number;
  readonly unusedBytes: number;
}

/**
 * torch.save writes the whole storage of a tensor, even if the tensor is a small slice of it. Every byte from a tensor's first to its last counts
 * as used, including those that its strides skip.
 */
export function storageUse(storages: Iterable<Storage>, tensors: Iterable<Tensor>): StorageUse {
  const spans = new Map<Storage, Span[]>();
  for (const tensor of tensors) {
    const span = spanOf(tensor);
    if (span === undefined) continue;
    const own = spans.get(tensor.storage);
    if (own === undefined) spans.set(tensor.storage, [span]);
    else own.push(span);
  }
  let bytes = 0;
  let used = 0;
  for (const storage of storages) {
    if (storage.bytes.kind === 'absent') continue;
    bytes += storage.nbytes;
    used += Math.min(storage.nbytes, covered(spans.get(storage) ?? []));
  }
  return { bytes, unusedBytes: bytes - used };
}

/** Bytes of a storage, the end not included. */
interface Span {
  readonly start: number;
  readonly end: number;
}

function spanOf({ dtype, shape, stride, storageOffset }: Tensor): Span | undefined {
  let last = storageOffset;
  for (const [dim, extent] of shape.entries()) {
    if (extent === 0) return undefined;
    last += (extent - 1) * (stride[dim] ?? 0);
  }
  return { start: byteOfElement(dtype, storageOffset), end: bytesOfElements(dtype, last + 1) };
}

function covered(spans: readonly Span[]): number {
  let bytes = 0;
  let end = 0;
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    bytes += Math.max(0, span.end - Math.max(span.start, end));
    end = Math.max(end, span.end);
  }
  return bytes;
}
