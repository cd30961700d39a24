import type { FileInode, KnownFile } from '../../inode.ts';
import { hasText } from '../../numbers/element-text.ts';
import type { StatisticsCache } from '../../numbers/statistics-cache.ts';
import type { Content, FixedContent } from '../../storage/content.ts';
import type { TensorInode } from '../tensor-files.ts';
import { JsonContent, jsonSize } from './json-content.ts';
import { npyContent, npyReplacement, npySize } from './npy-content.ts';
import { isShownWhole, TextContent, type TextFormat } from './text-content.ts';
import type { View } from './view-folders.ts';

type Replace = NonNullable<FileInode['replace']>;

/** What a view makes of a tensor's content; without `replace` it is read-only. */
interface Made {
  readonly content: Content;
  readonly replace?: Replace | undefined;
}

/** A tensor's file in a view: its content is made at the first use. */
class TensorView implements FileInode {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mtimeMs: number;
  readonly #tensor: TensorInode;
  readonly #make: (tensor: TensorInode, content: FixedContent) => Made;
  #made: Made | undefined;

  constructor(
    tensor: TensorInode,
    nodeid: number,
    mtimeMs: number,
    make: (tensor: TensorInode, content: FixedContent) => Made,
  ) {
    this.#tensor = tensor;
    this.nodeid = nodeid;
    this.mtimeMs = mtimeMs;
    this.#make = make;
  }

  get #parts(): Made {
    this.#made ??= this.#make(this.#tensor, this.#tensor.content as FixedContent);
    return this.#made;
  }

  get content(): Content {
    return this.#parts.content;
  }

  /** The names in the model: /checkpoint has no views. */
  get nlink(): number {
    return this.#tensor.namesTotal;
  }

  get mode(): number {
    return this.#parts.replace === undefined ? READ_ONLY : 0o644;
  }

  get replace(): Replace | undefined {
    return this.#parts.replace;
  }

  get xattrs(): ReadonlyMap<string, string> {
    return this.#tensor.xattrs;
  }
}

/** `describe` says what `make` would make; it returns false if that must be made first. */
function view(
  suffix: string,
  make: (tensor: TensorInode, content: FixedContent) => Made,
  describe: View['describe'],
  places: View['places'],
): View {
  return {
    suffix,
    file: (tensor, nodeid, mtimeMs) => new TensorView(tensor, nodeid, mtimeMs, make),
    describe,
    places,
  };
}

function known(into: KnownFile, mode: number, size: number): true {
  into.mode = mode;
  into.size = size;
  into.image = undefined;
  into.offset = 0;
  into.readable = false;
  into.follows = true;
  into.hasXattrs = true;
  into.asks = false;
  return true;
}

export function npyView(): View {
  return view(
    '.npy',
    ({ tensor }, content) => ({
      content: npyContent(tensor, content),
      replace: content.writer === undefined ? undefined : npyReplacement(tensor, content),
    }),
    ({ tensor }, own, into) => own.image !== undefined && known(into, own.mode, npySize(tensor, own.size)),
    (tensor, ranges) => {
      const header = npySize(tensor, 0);
      return ranges.map(({ offset, length }) => ({ offset: header + offset, length }));
    },
  );
}

/** The text of elements that are not numbers says so. */
export function textView(format: TextFormat, limit: number): View {
  return view(
    `.${format}`,
    ({ tensor }, content) => {
      if (!hasText(tensor.dtype)) {
        const note = Buffer.from(`# elements of ${tensor.dtype} are not shown as text\n`);
        return {
          content: { kind: 'extents', size: note.length, extents: [{ kind: 'inline', bytes: note }] },
        };
      }
      const text = new TextContent(tensor, format, content, limit);
      const writable = content.writer !== undefined && text.isWhole && content.size > 0;
      return {
        content: text,
        replace: writable ? (staged, update) => text.replace(staged, update) : undefined,
      };
    },
    ({ tensor }, own, into) => {
      if (own.image === undefined || !hasText(tensor.dtype)) return false;
      known(into, isShownWhole(tensor, limit) ? own.mode : READ_ONLY, 0);
      into.asks = true;
      return true;
    },
    ({ dtype }) => (hasText(dtype) ? WHOLE_FILE : undefined),
  );
}

export function jsonView(statistics: StatisticsCache): View {
  return view(
    '.json',
    (inode, content) => ({
      content: new JsonContent({ tensor: inode.tensor, content, names: inode, statistics }),
    }),
    (named, _own, into) => {
      known(into, READ_ONLY, jsonSize({ tensor: named.tensor, names: named }));
      into.readable = true;
      return true;
    },
    () => WHOLE_FILE,
  );
}

const READ_ONLY = 0o444;
/** Any byte of the tensor may be anywhere in the file. */
const WHOLE_FILE = [{ offset: 0, length: 0 }] as const;
