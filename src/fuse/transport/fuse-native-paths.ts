import { LRUCache } from 'lru-cache';
import { errno } from '../../errors.ts';
import type { Attr, Filesystem, MaybePromise, RequestContext } from '../filesystem.ts';
import { after } from '../maybe-promise.ts';
import { NAME_MAX } from '../protocol/request.ts';

/** How many paths are remembered: a mount of 20,000 tensors fits, a long-lived server does not grow. */
const REMEMBERED = 65_536;
const ROOT = 1;

/** libfuse's high-level interface speaks of paths, a Filesystem of nodeids. Names never change, so a path is walked once. */
export class Paths {
  readonly #filesystem: Filesystem;
  readonly #context: () => RequestContext;
  readonly #nodeids = new LRUCache<string, number>({ max: REMEMBERED });

  constructor(filesystem: Filesystem, context: () => RequestContext) {
    this.#filesystem = filesystem;
    this.#context = context;
  }

  /** Throws ENOENT or ENAMETOOLONG. */
  nodeid(path: string): MaybePromise<number> {
    if (path === '/') return ROOT;
    const known = this.#nodeids.get(path);
    if (known !== undefined) return known;
    const slash = path.lastIndexOf('/');
    const parent = this.nodeid(path.slice(0, slash) || '/');
    return after(parent, (parentId) =>
      after(this.#lookup(parentId, path.slice(slash + 1)), ({ nodeid }) => {
        this.#nodeids.set(path, nodeid);
        return nodeid;
      }),
    );
  }

  #lookup(parent: number, name: string): MaybePromise<Attr> {
    if (Buffer.byteLength(name) > NAME_MAX) throw errno('ENAMETOOLONG');
    return after(this.#filesystem.lookup(parent, name, this.#context()), (entry) => {
      if ('absent' in entry) throw errno('ENOENT');
      return entry.attr;
    });
  }
}
