/**
 * /export: the checkpoint as one file with its edits. It is the image, with computed checksums at the places where the file has checksums of
 * edited bytes. The model's tensors as safetensors are beside it.
 */
import { extname } from 'node:path';
import type { Checkpoint, CheckpointFormat } from '../checkpoint/checkpoint.ts';
import type { ModelTensor } from '../checkpoint/model.ts';
import { MAX_TENSORS } from '../checkpoint/safetensors-header.ts';
import type { DirectoryInode } from '../inode.ts';
import type { Checksums } from '../storage/checksums.ts';
import type { ExtentContent } from '../storage/content.ts';
import type { Extent } from '../storage/extent.ts';
import type { Image } from '../storage/image.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { Sliced } from '../storage/sliced.ts';
import type { InodeTable } from './inode-table.ts';
import { type Omitted, SafetensorsExport } from './safetensors-export.ts';

export interface ExportSources {
  readonly checkpoint: Checkpoint;
  /** Absent if there are no edits. */
  readonly checksums: Checksums | undefined;
  readonly tensors: readonly ModelTensor[];
  /** What belongs to the model and is not one of its tensors: an export names it. */
  readonly leftOut: readonly Omitted[];
  readonly cache: RenderedPages;
}

export function addExportRoom(
  table: InodeTable,
  room: DirectoryInode,
  { checkpoint, checksums, tensors, leftOut, cache }: ExportSources,
): void {
  table.add(room, `model${suffixOf(checkpoint)}`, {
    content: () =>
      checksums === undefined ? wholeImage(checkpoint.image) : new ExportContent(checkpoint.image, checksums),
    isCheap: checksums === undefined,
  });
  if (hasSafetensorsExport(checkpoint, tensors)) {
    table.add(room, 'model.safetensors', { content: () => new SafetensorsExport(tensors, cache, leftOut) });
  }
}

/** The file as it is, of a mount without edits. */
function wholeImage(image: Image): ExtentContent {
  const { size } = image;
  return { kind: 'extents', size, extents: [{ kind: 'image', image, offset: 0, length: size }] };
}

/** Whether the model is in /export as safetensors, too. */
export function hasSafetensorsExport(
  { format }: Pick<Checkpoint, 'format'>,
  tensors: readonly ModelTensor[],
): boolean {
  return format !== 'safetensors' && tensors.length > 0 && tensors.length <= MAX_TENSORS;
}

const CHECKSUM_BYTES = 4;
/** Extents between two yields. */
const SLICE = 512;

/** A model of 20,000 tensors has about 40,000 checksums: they are listed when a program opens the file. */
class ExportContent implements ExtentContent {
  readonly kind = 'extents';
  readonly #image: Image;
  readonly #checksums: Checksums;
  readonly layout: Sliced<readonly Extent[]>;

  constructor(image: Image, checksums: Checksums) {
    this.#image = image;
    this.#checksums = checksums;
    this.layout = new Sliced(() => this.#list());
  }

  get size(): number {
    return this.#image.size;
  }

  get extents(): readonly Extent[] {
    return this.layout.value;
  }

  *#list(): Generator<void, readonly Extent[]> {
    const image = this.#image;
    const extents: Extent[] = [];
    let at = 0;
    for (const field of this.#checksums.fields) {
      if (field > at) extents.push({ kind: 'image', image, offset: at, length: field - at });
      extents.push({
        kind: 'computed',
        length: CHECKSUM_BYTES,
        read: (offset, length) => this.#readField(field, offset, length),
      });
      at = field + CHECKSUM_BYTES;
      if (extents.length % SLICE < 2) yield;
    }
    if (at < image.size) extents.push({ kind: 'image', image, offset: at, length: image.size - at });
    return extents;
  }

  async #readField(field: number, offset: number, length: number): Promise<Uint8Array> {
    const patch = this.#checksums.patchAt(field);
    return patch?.subarray(offset, offset + length) ?? this.#image.read(field + offset, length);
  }
}

const SUFFIXES: Readonly<Partial<Record<CheckpointFormat, string>>> = {
  'torch-zip': '.pt',
  torchscript: '.pt',
  'torch-legacy': '.pt',
  'torch-tar': '.pt',
  safetensors: '.safetensors',
  'torch-export': '.pt2',
};

/** torch's own formats have torch's usual suffix; the others keep the suffix of the checkpoint. */
function suffixOf({ format, path }: Checkpoint): string {
  const own = extname(path);
  return SUFFIXES[format] ?? (/^\.[A-Za-z0-9]{1,8}$/.test(own) ? own : '.pkl');
}
