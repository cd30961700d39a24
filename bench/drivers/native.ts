import { copyFile, open } from 'node:fs/promises';
import path from 'node:path';
import type { Subject } from '../subject.ts';
import type { Driver, Opened } from './driver.ts';

/** The ceiling of everything: pread of the tensor's range of the checkpoint itself, and pwrite of a copy of it. */
export const native: Driver = {
  name: 'native',
  about: 'pread of the .pt itself, no mount; pwrite of a copy beside it',
  direct: true,
  tensorOnly: true,
  editable: true,
  missing: () => undefined,
  open: async (subject, options) => {
    if (options?.state === undefined) return opened(subject, subject.path, async () => {});
    const copy = await plainCopy(subject);
    return opened(subject, copy, () => settle(copy));
  },
};

function opened(subject: Subject, file: string, close: () => Promise<void>): Opened {
  const { offset, length } = subject.tensor;
  return { path: file, offset, length, root: path.dirname(subject.path), close };
}

const copies = new WeakMap<Subject, Promise<string>>();

/** Made once, and removed with the subject. */
function plainCopy(subject: Subject): Promise<string> {
  const copy = `${subject.path}.plain`;
  const made = copies.get(subject) ?? copyFile(subject.path, copy).then(() => copy);
  copies.set(subject, made);
  return made;
}

/** Bytes that a sample left to be written must not slow down the next one. */
async function settle(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.datasync();
  } finally {
    await handle.close();
  }
}
