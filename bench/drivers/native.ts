import path from 'node:path';
import type { Subject } from '../subject.ts';
import type { Driver, Opened } from './driver.ts';
import { plainFiles, settle } from './plain-files.ts';

/** The ceiling of everything: pread of the tensor's range of the checkpoint itself, and pwrite of plain files beside it. */
export const native: Driver = {
  name: 'native',
  about: 'pread of the .pt itself, no mount; pwrite of a copy beside it, or of a plain file for each tensor',
  direct: true,
  tensorOnly: true,
  editable: true,
  missing: () => undefined,
  open: async (subject, options) => {
    const { offset, length } = subject.tensor;
    if (options?.state === undefined) return opened(subject, [subject.path], offset, length, async () => {});
    const plain = await plainFiles(subject);
    return opened(subject, plain.files, plain.offset, plain.length, () => settle(plain));
  },
};

function opened(
  subject: Subject,
  files: readonly string[],
  offset: number,
  length: number,
  close: () => Promise<void>,
): Opened {
  const [file = subject.path] = files;
  return { path: file, tensorPaths: files, offset, length, root: path.dirname(subject.path), close };
}
