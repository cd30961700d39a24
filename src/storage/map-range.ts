import { constants } from 'node:buffer';
import { getSystemErrorName } from 'node:util';
import { MlfsError, messageOf } from '../errors.ts';
import type { ImageBase } from './image.ts';
import type { MapAccess, MappedRange } from './mapped-range.ts';
import { mapThroughMmapIo } from './mmap-io.ts';
import { loadNative, type NativeMapping } from './native.ts';

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
