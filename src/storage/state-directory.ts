import type { Medium } from './medium.ts';
import type { StateFile } from './state-file.ts';

/** Where a checkpoint's state is, or would be. */
export interface StateOptions {
  /** `--state DIR`: the state directory itself. */
  readonly directory?: string;
  /** Who holds the lock, for the message that somebody else gets. */
  readonly mountpoint?: string;
}

/** base.json: what the journal's offsets refer to. */
export interface BaseRecord {
  /** Absolute path, for people. */
  readonly path: string;
  readonly size: number;
  readonly ino: string;
  readonly mtimeNs: string;
  /** CRC-32C of the parts that say what the file is (a zip's central directory, a header); 8 hexadecimal digits. */
  readonly structure: string;
}

/**
 * The state directory `<checkpoint>.mlfs/`: lock, base.json, journal/, grads/. Made at the first write and not before. Beside the
 * checkpoint, or in the user's XDG state directory when that place cannot be written, or where `--state` says.
 */
export class StateDirectory {
  /** Finds the place and whether it is there; makes nothing. */
  static locate(
    _medium: Medium,
    _checkpointPath: string,
    _options: StateOptions = {},
  ): Promise<StateDirectory> {
    throw new Error('to be built');
  }

  get path(): string {
    throw new Error('to be built');
  }

  get journalPath(): string {
    throw new Error('to be built');
  }

  exists(): boolean {
    throw new Error('to be built');
  }

  /** Takes the lock of an existing directory; throws ERR_MLFS_BUSY that names the other's pid and mount point. */
  lock(): Promise<void> {
    throw new Error('to be built');
  }

  /** Makes the directory with base.json, durably, and takes the lock. Does nothing when it did so before. */
  ensure(_base: BaseRecord): Promise<void> {
    throw new Error('to be built');
  }

  /** Undefined when there is none; ERR_MLFS_RECOVERY when it cannot be read. */
  readBase(): Promise<BaseRecord | undefined> {
    throw new Error('to be built');
  }

  /** Replaces base.json in one step, durably. */
  writeBase(_base: BaseRecord): Promise<void> {
    throw new Error('to be built');
  }

  /** Names and sizes of the gradients that are there. */
  gradients(): Promise<ReadonlyMap<string, number>> {
    throw new Error('to be built');
  }

  /** The gradient of a tensor; `name` is any string and is escaped. Its file is made at the first write. */
  gradient(_name: string, _size: number, _maxSize: number): StateFile {
    throw new Error('to be built');
  }

  /** A file without a name, gone with this process. */
  scratch(): StateFile {
    throw new Error('to be built');
  }

  /** Releases the lock, and takes the directory away again if nothing is kept in it (no journal record, no gradient). */
  close(): Promise<void> {
    throw new Error('to be built');
  }
}
