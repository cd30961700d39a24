import { randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';

const BLOCK_BYTES = 4096;
/** After the step, one in this many blocks differs. */
const CHANGED_ONE_IN = 100;

/**
 * A model as plain files, with the folders of a mount: as in the checkpoint, after a step that changed one in a hundred blocks of 4 KiB, and after
 * one that changed every byte.
 */
export interface TrainingStep {
  readonly before: string;
  readonly after: string;
  readonly changedBytes: number;
  readonly whollyAfter: string;
  readonly totalBytes: number;
}

interface PlainTensor {
  /** Relative path. */
  readonly file: string;
  /** In the checkpoint. */
  readonly offset: number;
  readonly length: number;
}

/** Writes all three into folders of `directory`. */
export async function takeStep(
  checkpoint: string,
  tensors: readonly PlainTensor[],
  directory: string,
): Promise<TrainingStep> {
  const before = path.join(directory, 'before');
  const after = path.join(directory, 'after');
  const whollyAfter = path.join(directory, 'wholly-after');
  const totalBytes = tensors.reduce((sum, { length }) => sum + length, 0);
  let changedBytes = 0;
  const source = await open(checkpoint, 'r');
  try {
    for (const tensor of tensors) {
      const bytes = await bytesOf(source, tensor);
      await put(path.join(before, tensor.file), bytes);
      await put(path.join(whollyAfter, tensor.file), complementOf(bytes));
      changedBytes += change(bytes);
      await put(path.join(after, tensor.file), bytes);
    }
  } finally {
    await source.close();
  }
  return { before, after, changedBytes, whollyAfter, totalBytes };
}

async function bytesOf(source: FileHandle, { offset, length }: PlainTensor): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  const { bytesRead } = await source.read(bytes, 0, length, offset);
  if (bytesRead !== length) throw new Error(`the checkpoint ends within ${length} bytes at ${offset}`);
  return bytes;
}

async function put(file: string, bytes: Uint8Array): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytes);
}

function complementOf(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte) => ~byte);
}

/** The blocks are as far apart as one in a hundred can be, shifted by a prime, so that they lie anywhere in a megabyte. */
function change(bytes: Buffer): number {
  const blocks = bytes.byteLength / BLOCK_BYTES;
  const changed = Math.max(1, Math.floor(blocks / CHANGED_ONE_IN));
  for (let at = 0; at < changed; at++) {
    const block = (at * CHANGED_ONE_IN + ((at * 37) % CHANGED_ONE_IN)) % blocks;
    randomBytes(BLOCK_BYTES).copy(bytes, block * BLOCK_BYTES);
  }
  return changed * BLOCK_BYTES;
}
