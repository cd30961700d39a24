import { errno } from '../errors.ts';
import { close, openAgain, openFolder, openPlace, pathIn, statDescriptor } from './host-files.ts';
import { Leases, type ValueLease } from './leases.ts';
import { kindOf, type Node } from './nodes.ts';

/** Maximum number of folders that are kept open. */
const MOST_OPEN = 128;

export interface FoldersOptions {
  /** The path of the folder, whether it exists or not. */
  readonly folder: string;
  /**
   * Opens the folder through the open state directory, because another folder may lie at its path by now. Undefined if there is only a path.
   * Throws ENOENT.
   */
  readonly openFolder: () => Promise<number | undefined>;
  /** Makes the folder if necessary. Called at the first change, never for a read. */
  readonly makeFolder: () => Promise<void>;
}

/**
 * Open folders: each is opened by its name in its parent, so no path is ever walked, and a descriptor stays the same folder when it or a
 * folder above it is renamed.
 */
export class Folders {
  readonly #options: FoldersOptions;
  readonly #open = new Leases<Node, number>(MOST_OPEN, (fd) => void close(fd).catch(() => undefined));

  constructor(options: FoldersOptions) {
    this.#options = options;
  }

  /** Throws ENOENT if the folder does not exist, as the root until somebody creates something in it. */
  async use<T>(node: Node, work: (fd: number) => Promise<T>): Promise<T> {
    const lease = await this.#take(node);
    try {
      return await work(lease.value);
    } finally {
      lease.release();
    }
  }

  /** The same for a change in a folder: makes the root if it does not exist. */
  async change<T>(node: Node, work: (fd: number) => Promise<T>): Promise<T> {
    if (node.parent !== undefined) return this.use(node, work);
    try {
      return await this.use(node, work);
    } catch (cause) {
      if ((cause as { errno?: string }).errno !== 'ENOENT') throw cause;
    }
    // It never existed, or was removed with the empty state directory.
    this.drop(node);
    await this.#options.makeFolder();
    return this.use(node, work);
  }

  /**
   * A file or folder for a change of its attributes, by a descriptor that nobody else closes. A file without a name can be reached while it
   * is open. Throws ESTALE if something else has its name now.
   */
  async usePlace<T>(node: Node, work: (fd: number) => Promise<T>): Promise<T> {
    const { parent } = node;
    if (node.gone) {
      const [open] = node.open;
      if (open === undefined) throw errno('ESTALE');
      const fd = openAgain(open);
      try {
        return await work(fd);
      } finally {
        await close(fd);
      }
    }
    if (parent === undefined || node.kind === 'directory') return this.use(node, work);
    return this.use(parent, async (folder) => {
      const fd = await openPlace(folder, node.name);
      try {
        const stat = statDescriptor(fd);
        if (kindOf(stat) !== node.kind || stat.ino !== node.ino) throw errno('ESTALE');
        return await work(fd);
      } finally {
        await close(fd);
      }
    });
  }

  drop(node: Node): void {
    this.#open.drop(node);
  }

  close(): void {
    this.#open.dropAll();
  }

  async #openRoot(): Promise<number> {
    return (await this.#options.openFolder()) ?? openFolder(this.#options.folder);
  }

  #take(node: Node): Promise<ValueLease<number>> {
    const { parent } = node;
    return this.#open.take(node, () =>
      parent === undefined
        ? this.#openRoot()
        : this.use(parent, async (above) => {
            const fd = await openFolder(pathIn(above, node.name));
            if (statDescriptor(fd).ino === node.ino) return fd;
            await close(fd);
            throw errno('ESTALE');
          }),
    );
  }
}
