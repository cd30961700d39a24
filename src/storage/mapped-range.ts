/**
 * A range of a file as memory of this process, without a copy.
 *
 * The addon maps ranges of any size and place, and guards them: when another program truncates the file, the bytes that are gone read as zeros, and
 * the range says that it is *torn* (native/guarded_mapping.h). Without the addon, the package mmap-io maps below 2 GiB, without a guard.
 */
import { constants } from 'node:buffer';
import { getSystemErrorName } from 'node:util';
import { MlfsError, messageOf } from '../errors.ts';
import type { ImageBase } from './image.ts';
import { mapThroughMmapIo } from './mmap-io.ts';
import { loadNative, type NativeMapping } from './native.ts';

/**
 * How the bytes will be read. `sequential`: read ahead far, and forget early. `random`: read single pages. `willNeed`: begin to read now; the kernel
 * begins with a first part of a large range only.
 */
export type MappingIntent = 'sequential' | 'random' | 'willNeed';

/** As of numpy.memmap: `r` cannot be written, and trying ends the process with SIGSEGV. `c` copies the pages that are written; the file stays. */
export type MappingMode = 'r' | 'c';

export interface MapAccess {
  readonly mode: MappingMode;
  readonly intent?: MappingIntent | undefined;
}

export interface MappedRange {
  readonly buffer: ArrayBuffer;
  /** Where the range begins in `buffer`. */
  readonly byteOffset: number;
  /** Whether the process survives when the file is truncated. */
  readonly guarded: boolean;
  /** Whether bytes were gone at some time, as far as anybody noticed: a page that was touched, or a file that is too short now. */
  torn(): boolean;
  /** Detaches `buffer` and releases the memory; without the addon, the memory is released when `buffer` is collected. */
  close(): void;
}

/** In the order of MappingIntent in native/guarded_mapping.h. */
const NATIVE_INTENTS = [undefined, 'sequential', 'random', 'willNeed'] as const;

/**
 * Maps at least one byte. The mapping outlives the file's descriptor. Throws ERR_MLFS_TRUNCATED (the file ends before the range does), ERR_MLFS_IO
 * (the system refuses, or the file was closed), ERR_MLFS_USAGE (more bytes than an array of the engine may have, neither addon nor mmap-io, an engine
 * without memory from outside its heap).
 */
export function mapRange(
  file: ImageBase,
  offsetBytes: number,
  lengthBytes: number,
  access: MapAccess,
): MappedRange {
  if (lengthBytes > constants.MAX_LENGTH) {
    throw new MlfsError(
      'ERR_MLFS_USAGE',
      `${file.path}: ${lengthBytes} bytes do not fit into one array of this Node, which has at most ${constants.MAX_LENGTH}`,
      { path: file.path, advice: 'map it in windows: map(name, { mode, offset, length })' },
    );
  }
  const { fd } = file;
  if (fd === undefined || fd < 0) {
    throw new MlfsError('ERR_MLFS_IO', `${file.path}: cannot be mapped: the file was closed`, {
      path: file.path,
    });
  }
  if (offsetBytes + lengthBytes > file.size) throw ended(file, offsetBytes, lengthBytes);
  const native = loadNative();
  if (native === undefined) return mapThroughMmapIo(file, fd, offsetBytes, lengthBytes, access);
  try {
    const intent = NATIVE_INTENTS.indexOf(access.intent);
    return new NativeRange(new native.Mapping(fd, offsetBytes, lengthBytes, intent, access.mode === 'c'));
  } catch (cause) {
    throw explained(file, offsetBytes, lengthBytes, cause);
  }
}

class NativeRange implements MappedRange {
  readonly buffer: ArrayBuffer;
  readonly byteOffset = 0;
  readonly guarded = true;
  readonly #mapping: NativeMapping;

  constructor(mapping: NativeMapping) {
    this.#mapping = mapping;
    this.buffer = mapping.buffer();
  }

  torn(): boolean {
    return this.#mapping.torn();
  }

  close(): void {
    this.#mapping.close();
  }
}

function ended(file: ImageBase, offsetBytes: number, lengthBytes: number): MlfsError {
  return new MlfsError(
    'ERR_MLFS_TRUNCATED',
    `${file.path}: ends before byte ${offsetBytes + lengthBytes}, so ${lengthBytes} bytes at ${offsetBytes} cannot be mapped; it had ${file.size} bytes when it was opened`,
    { path: file.path, advice: 'Another program truncated the file; open it again.' },
  );
}

function explained(file: ImageBase, offsetBytes: number, lengthBytes: number, cause: unknown): MlfsError {
  const { errno, noExternalBuffers } = cause as { errno?: number; noExternalBuffers?: boolean };
  const { path } = file;
  if (noExternalBuffers !== undefined) {
    return new MlfsError(
      'ERR_MLFS_USAGE',
      noExternalBuffers
        ? `${path}: cannot be mapped: this JavaScript engine allows no memory from outside its heap (Electron, for example)`
        : `${path}: cannot be mapped: the engine made no array of ${lengthBytes} bytes`,
      { path, advice: 'read it in ranges: read(name, { offset, length })', cause },
    );
  }
  const name = errno === undefined ? messageOf(cause) : getSystemErrorName(-errno);
  if (name === 'ENODATA') return ended(file, offsetBytes, lengthBytes);
  return new MlfsError(
    'ERR_MLFS_IO',
    `${path}: ${lengthBytes} bytes at ${offsetBytes} cannot be mapped: ${name}`,
    {
      path,
      advice:
        name === 'ENOMEM'
          ? 'The process has too many mappings or too little address space (vm.max_map_count, ulimit -v): close some, or read the tensor.'
          : 'read it: readTensor(name)',
      cause,
    },
  );
}
