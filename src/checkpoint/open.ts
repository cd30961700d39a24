/**
 * Opens a checkpoint file of any kind. Its bytes decide what it is, since extensions lie (`.pth.tar` may be a zip, `.bin` a legacy
 * pickle, `.pt` a Git LFS pointer). Directories, headers and pickles are read; tensor bytes never are.
 */
import { stat } from 'node:fs/promises';
import { MlfsError, messageOf } from '../errors.ts';
import { FileSource } from '../storage/file-source.ts';
import { Image } from '../storage/image.ts';
import type { Checkpoint, ParsedCheckpoint, ParseOptions } from './checkpoint.ts';
import { detectContainer, HEAD_BYTES } from './detect.ts';
import { refuseDistributedMetadata, refuseFolder, refuseText } from './foreign.ts';
import { openSafetensors } from './safetensors.ts';
import { torchLayout } from './torch/archive-layout.ts';
import { openBundle } from './torch/bundle.ts';
import { openPickleFile } from './torch/pickle-file.ts';
import { openTorchTar } from './torch/tar.ts';
import { openTorchZip } from './torch/zip-checkpoint.ts';
import { readArchive } from './zip/archive.ts';
/**
 * Opens the checkpoint at `path`; the caller closes it. Throws an MlfsError that names the file and the reason, with exit code 3 for
 * a file that is not a checkpoint, is damaged, or exceeds the limits.
 */
export async function openCheckpoint(path: string, options: ParseOptions = {}): Promise<Checkpoint> {
  const source = await openSource(path);
  try {
    return await openCheckpointIn(source, options);
  } catch (cause) {
    await source.close();
    throw cause;
  }
}

/** The same for an open file. Closing the checkpoint closes it; it stays open when this fails. */
export async function openCheckpointIn(source: FileSource, options: ParseOptions = {}): Promise<Checkpoint> {
  const { path } = source;
  const image = new Image(source);
  try {
    const opened = await openImage(image, options);
    return { ...opened, path, image, close: () => image.close() };
  } catch (cause) {
    throw cause instanceof MlfsError ? cause : unexpected(path, cause);
  }
}

/** Opens the file without reading it. Throws ERR_MLFS_NOT_FOUND, ERR_MLFS_ACCESS, or ERR_MLFS_FORMAT with the kind of a folder. */
export async function openSource(path: string): Promise<FileSource> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) throw await refuseFolder(path);
  return FileSource.open(path);
}

async function openImage(image: Image, options: ParseOptions): Promise<ParsedCheckpoint> {
  const head = await image.read(0, Math.min(HEAD_BYTES, image.size));
  switch (detectContainer(image.path, head, image.size)) {
    case 'zip': {
      const archive = await readArchive(image);
      const layout = torchLayout(archive);
      return layout === undefined
        ? openBundle(image, archive, options)
        : openTorchZip(image, archive, layout, options);
    }
    case 'safetensors':
      return openSafetensors(image);
    case 'tar':
      return openTorchTar(image, options);
    case 'pickle':
      return openPickle(image, head, options);
  }
}

/** The first letter of a short text can look like the start of a pickle. */
async function openPickle(image: Image, head: Buffer, options: ParseOptions): Promise<ParsedCheckpoint> {
  const opened = await openPickleFile(image, options).catch((cause: unknown) => {
    throw (image.size <= HEAD_BYTES ? refuseText(image.path, head) : undefined) ?? cause;
  });
  const refusal = refuseDistributedMetadata(image.path, opened.root);
  if (refusal !== undefined) throw refusal;
  return opened;
}

/** A bug of MLFS that a file triggers becomes an error with the file's name instead of a stack trace. */
function unexpected(path: string, cause: unknown): MlfsError {
  const reason = messageOf(cause);
  return new MlfsError('ERR_MLFS_INTERNAL', `${path}: cannot be opened: ${reason}`, { path, cause });
}
