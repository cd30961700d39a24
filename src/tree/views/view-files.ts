import type { FileInode } from '../../inode.ts';
import { hasText } from '../../numbers/element-text.ts';
import type { StatisticsCache } from '../../numbers/statistics-cache.ts';
import type { Content, FixedContent } from '../../storage/content.ts';
import type { TensorInode } from '../tensor-files.ts';
import { JsonContent } from './json-content.ts';
import { npyContent, npyReplacement } from './npy-content.ts';
import { TextContent, type TextFormat } from './text-content.ts';
import type { View, ViewFile } from './view-folders.ts';

type Replace = NonNullable<FileInode['replace']>;

/** What a view makes of a tensor's content; without `replace` it is read-only. */
interface Made {
  readonly content: Content;
  readonly replace?: Replace | undefined;
}

/** A tensor's file in a view: its content is made at the first use. */
class TensorView implements ViewFile {
  readonly kind = 'file';
  readonly nodeid: number;
  readonly mtimeMs: number;
  nlink = 0;
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

  get mode(): number {
    return this.#parts.replace === undefined ? 0o444 : 0o644;
  }

  get replace(): Replace | undefined {
    return this.#parts.replace;
  }

  get xattrs(): ReadonlyMap<string, string> {
    return this.#tensor.xattrs;
  }
}

function view(suffix: string, make: (tensor: TensorInode, content: FixedContent) => Made): View {
  return { suffix, file: (tensor, nodeid, mtimeMs) => new TensorView(tensor, nodeid, mtimeMs, make) };
}

export function npyView(): View {
  return view('.npy', ({ tensor }, content) => ({
    content: npyContent(tensor, content),
    replace: content.writer === undefined ? undefined : npyReplacement(tensor, content),
  }));
}

/** The text of elements that are not numbers says so. */
export function textView(format: TextFormat, limit: number): View {
  return view(`.${format}`, ({ tensor }, content) => {
    if (!hasText(tensor.dtype)) {
      const note = Buffer.from(`# elements of ${tensor.dtype} are not shown as text\n`);
      return { content: { kind: 'extents', size: note.length, extents: [{ kind: 'inline', bytes: note }] } };
    }
    const text = new TextContent(tensor, format, content, limit);
    const writable = content.writer !== undefined && text.isWhole && content.size > 0;
    return {
      content: text,
      replace: writable ? (staged, update) => text.replace(staged, update) : undefined,
    };
  });
}

/** `namesOf` returns the dotted names of a tensor. */
export function jsonView(statistics: StatisticsCache): View {
  return view('.json', (inode, content) => ({
    content: new JsonContent({ tensor: inode.tensor, content, names: inode, statistics }),
  }));
}
