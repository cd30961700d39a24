import { getSystemErrorName } from 'node:util';
import type { NativeSession } from '../../storage/native.ts';
import type { TransportOptions } from './transport.ts';

/** If set to `off`, files are never passed through: for comparison, and for a kernel that does it wrong. */
const SWITCH = 'MLFS_PASSTHROUGH';

/**
 * Whether the kernel may read and write files itself: since Linux 6.9, with CAP_SYS_ADMIN, and if the files are on a plain file system. If
 * one of these is missing, the server serves the files, and says so once.
 */
export class Passthrough {
  readonly wanted: boolean;
  /** The kernel agreed to it at INIT. */
  agreed = false;
  #refused = false;
  readonly #warn: (message: string) => void;

  constructor({ passthrough, onWarning }: Pick<TransportOptions, 'passthrough' | 'onWarning'>) {
    this.wanted = passthrough ?? process.env[SWITCH] !== 'off';
    this.#warn = onWarning;
  }

  /** The id of a file that is registered with the kernel, or undefined. */
  open(native: Pick<NativeSession, 'openBacking'>, fd: number): number | undefined {
    if (!this.agreed) return undefined;
    const id = native.openBacking(fd);
    if (id > 0) return id;
    // Users other than root do not expect it.
    if (!this.#refused && process.getuid?.() === 0) {
      this.#warn(`activations are not passed through to the kernel: ${getSystemErrorName(id)}`);
    }
    this.#refused = true;
    return undefined;
  }
}
