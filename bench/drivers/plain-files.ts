/** Plain files that are written over instead of the checkpoint. */
import { copyFile, mkdir, open } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Subject, TensorPlace } from '../subject.ts';

export interface PlainFiles {
  /** A copy of the checkpoint; of a subject with several tensors a file for each instead. */
  readonly files: readonly string[];
  /** Range of each file that is a tensor. */
  readonly offset: number;
  readonly length: number;
}

const made = new WeakMap<Subject, Promise<PlainFiles>>();

/** Made once, and removed with the subject. Drivers share them: each pass writes other bytes than the one before. */
export function plainFiles(subject: Subject): Promise<PlainFiles> {
  const files = made.get(subject) ?? (subject.tensors ? aFileEach(subject, subject.tensors) : aCopy(subject));
  made.set(subject, files);
  return files;
}

async function aCopy({ path: checkpoint, tensor }: Subject): Promise<PlainFiles> {
  const copy = `${checkpoint}.plain`;
  await copyFile(checkpoint, copy);
  return { files: [copy], offset: tensor.offset, length: tensor.length };
}

async function aFileEach(
  { path: checkpoint, tensor }: Subject,
  tensors: readonly TensorPlace[],
): Promise<PlainFiles> {
  const folder = `${checkpoint}.plain`;
  await mkdir(folder);
  const files = tensors.map((_, index) => path.join(folder, `${index}.bin`));
  const source = await open(checkpoint, 'r');
  try {
    for (const [index, { offset, length }] of tensors.entries()) {
      const range = { start: offset, end: offset + length - 1, autoClose: false };
      const target = await open(files[index] ?? folder, 'wx');
      await pipeline(source.createReadStream(range), target.createWriteStream());
    }
  } finally {
    await source.close();
  }
  return { files, offset: 0, length: tensor.length };
}

/** Bytes that a sample left to be written must not slow down the next one. */
export async function settle({ files }: PlainFiles): Promise<void> {
  for (const file of files) {
    const handle = await open(file, 'r+');
    try {
      await handle.datasync();
    } finally {
      await handle.close();
    }
  }
}
