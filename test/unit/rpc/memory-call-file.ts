import type { CallFile } from '../../../src/rpc/call.ts';

/** A call's file in memory. */
export function memoryCallFile(): CallFile {
  let bytes = Buffer.alloc(0);
  return {
    kind: 'stored',
    maxSize: Number.MAX_SAFE_INTEGER,
    size: () => bytes.length,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
    write: async (offset, written) => {
      const end = Math.max(bytes.length, offset + written.byteLength);
      bytes = Buffer.concat([bytes, Buffer.alloc(end - bytes.length)]);
      bytes.set(written, offset);
    },
    truncate: async (size) => {
      bytes = Buffer.concat([bytes.subarray(0, size), Buffer.alloc(Math.max(0, size - bytes.length))]);
    },
    sync: async () => undefined,
    close: async () => undefined,
  };
}
