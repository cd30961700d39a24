/**
 * Identifies files and folders that MLFS cannot open but that users commonly take for checkpoints: folders, error pages saved in place of a
 * download, and related formats. Each gets fitting advice.
 */
import { readdir } from 'node:fs/promises';
import { MlfsError } from '../errors.ts';
import { quoteName, visible } from '../visible-text.ts';
import type { Value } from './pickle/values.ts';
import { PyGlobal, PyObject, PyTuple } from './pickle/values.ts';

const DCP_ADVICE =
  'Convert the folder to one file: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt';

/** The kind of a folder by the names in it. Reads only the listing. */
export async function refuseFolder(path: string): Promise<MlfsError> {
  const names = await readdir(path).catch(() => [] as string[]);
  const index = names.find((name) => /\.(safetensors|bin)\.index\.json$/.test(name));
  if (names.includes('.metadata') || names.some((name) => name.endsWith('.distcp'))) {
    return refuse(path, 'is a folder of torch.distributed.checkpoint, not a checkpoint file', DCP_ADVICE);
  }
  if (index !== undefined) {
    return refuse(
      path,
      `is the folder of a model in several files (see ${visible(index)} in it), not a checkpoint file`,
      'Open one of the files that the index names.',
    );
  }
  const checkpoint = names.find((name) => /\.(safetensors|pt|pth|ckpt|bin)$/.test(name));
  return refuse(
    path,
    'is a directory, not a checkpoint file',
    checkpoint === undefined ? undefined : `There is ${visible(checkpoint)} in it: open that.`,
  );
}

/** The `.metadata` file of a torch.distributed.checkpoint folder: a pickle that opens but contains no tensor. */
export function refuseDistributedMetadata(path: string, root: Value): MlfsError | undefined {
  if (!(root instanceof PyObject)) return undefined;
  const made = root.args instanceof PyTuple ? root.args.items[0] : undefined;
  const names = [root.className, made instanceof PyGlobal ? made.path : undefined];
  if (!names.includes('torch.distributed.checkpoint.metadata.Metadata')) return undefined;
  return refuse(
    path,
    'is the .metadata of a torch.distributed.checkpoint folder: it says where tensors are and holds none',
    DCP_ADVICE,
  );
}

/** Two or more zip archives in one file. `lastAt` is the offset of the last one. */
export function refuseArchivesInARow(path: string, lastAt: number): MlfsError {
  return refuse(
    path,
    `is several zip archives one behind the other (the last one begins at byte ${lastAt}), as shards of torch.distributed.checkpoint (.distcp) are`,
    DCP_ADVICE,
  );
}

interface ForeignArchive {
  readonly what: string;
  readonly advice: string;
  readonly has: RegExp;
}

/** Zip archives by the names of their entries. */
const ARCHIVES: readonly ForeignArchive[] = [
  {
    what: 'an AOTInductor package: a compiled program, whose weights are inside its shared library',
    advice: 'Open the checkpoint that it was compiled from.',
    has: /(^|\/)data\/aotinductor\//,
  },
  {
    what: 'a torch.package archive: Python modules and pickles that refer to them',
    advice:
      'Load it with torch.package.PackageImporter, and save what is in it with torch.save(model.state_dict(), "model.pt").',
    has: /(^|\/)\.data\/(extern_modules|python_version|version)$/,
  },
  { what: 'a NumPy .npz file', advice: 'Load it with numpy.load.', has: /\.npy$/ },
  { what: 'a Keras model', advice: 'Load it with Keras.', has: /\.h5$/ },
  { what: 'a Core ML package', advice: 'Open the checkpoint that it was converted from.', has: /\.mlmodel$/ },
];

/** The archive's kind by the names of its entries; undefined when no entry tells. */
export function refuseArchive(path: string, entryNames: readonly string[]): MlfsError | undefined {
  const kind = ARCHIVES.find(({ has }) => entryNames.some((name) => has.test(name)));
  return kind === undefined ? undefined : refuse(path, `is ${kind.what}`, kind.advice);
}

/**
 * A short text where a model is expected is what a server said instead: "Entry not found", an error in JSON. `head` is the beginning of the
 * file. Undefined when it is not all text.
 */
export function refuseText(path: string, head: Buffer): MlfsError | undefined {
  const text = head.toString('utf8');
  // A character may be cut at the end of the head.
  if (head.byteLength === 0 || /[^\P{Cc}\s]|\uFFFD(?!$)/u.test(text)) return undefined;
  const line = text.trim().split(/\r?\n/, 1)[0] ?? '';
  return new MlfsError('ERR_MLFS_PLACEHOLDER', `${path}: is a text, not a checkpoint: ${quoteName(line)}`, {
    path,
    advice: 'If it was downloaded, the server answered with this text; get the file itself.',
  });
}

/** JSON is an index of shards, a configuration, or a server's response. */
export function refuseJson(path: string, head: Buffer): MlfsError {
  const text = head.toString('utf8');
  if (text.includes('"weight_map"')) {
    return refuse(
      path,
      'is the index of a model in several files, not a checkpoint file',
      'Open one of the files that it names.',
    );
  }
  if (/"(error|message|detail|errors)"\s*:/.test(text)) {
    return refuseText(path, head) ?? refuse(path, 'is JSON, not a checkpoint');
  }
  return refuse(path, 'is JSON, not a checkpoint', 'Open the checkpoint file that belongs to it.');
}

function refuse(path: string, what: string, advice?: string): MlfsError {
  return new MlfsError('ERR_MLFS_FORMAT', `${path}: ${what}`, {
    path,
    ...(advice === undefined ? {} : { advice }),
  });
}
