import path from 'node:path';
import type { Driver } from './driver.ts';

/** The ceiling of everything: pread of the tensor's range of the checkpoint itself. */
export const native: Driver = {
  name: 'native',
  about: 'pread of the .pt itself, no mount',
  direct: true,
  tensorOnly: true,
  missing: () => undefined,
  open: async (subject) => ({
    path: subject.path,
    offset: subject.tensor.offset,
    length: subject.tensor.length,
    root: path.dirname(subject.path),
    close: async () => {},
  }),
};
