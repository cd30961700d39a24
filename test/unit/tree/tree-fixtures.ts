import type { Storage, Tensor } from '../../../src/checkpoint/tensor.ts';
import type { DirectoryInode, Inode } from '../../../src/inode.ts';
import type { Image } from '../../../src/storage/image.ts';
import { Overlay } from '../../../src/storage/overlay.ts';

/** An image nobody reads: trees are built without touching bytes. */
export const IMAGE = {
  path: 'model.pt',
  size: 1 << 30,
  overlay: new Overlay(),
} as unknown as Image;

export function storage(key: string, nbytes: number): Storage {
  return {
    type: 'storage',
    key,
    dtype: 'float32',
    nbytes,
    location: 'cpu',
    bytes: { kind: 'extent', image: IMAGE, offset: 1024 + Number.parseInt(key, 10) * 4096, length: nbytes },
    byteorder: 'little',
  };
}

export function tensor(from: Storage, shape: number[], more: Partial<Tensor> = {}): Tensor {
  const stride: number[] = [];
  for (let dim = shape.length - 1, step = 1; dim >= 0; dim--) {
    stride[dim] = step;
    step *= shape[dim] ?? 1;
  }
  return {
    type: 'tensor',
    dtype: 'float32',
    shape,
    stride,
    storageOffset: 0,
    storage: from,
    requiresGrad: false,
    isParameter: false,
    ...more,
  };
}

/** Every path below a directory, folders with a slash at the end. */
export function paths(directory: DirectoryInode, prefix = ''): string[] {
  return [...directory.children].flatMap(([name, inode]) =>
    inode.kind === 'directory'
      ? [`${prefix}${name}/`, ...paths(inode, `${prefix}${name}/`)]
      : [prefix + name],
  );
}

export function at(root: DirectoryInode, path: string): Inode {
  let inode: Inode = root;
  for (const name of path.split('/')) {
    const next: Inode | undefined = inode.kind === 'directory' ? inode.children.get(name) : undefined;
    if (next === undefined) throw new Error(`${path}: no ${name}`);
    inode = next;
  }
  return inode;
}
