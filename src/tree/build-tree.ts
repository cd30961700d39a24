/** The whole tree of one mount, room by room. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { jsonDocument } from '../checkpoint/json.ts';
import { type LeftOut, type Model, modelOf, nameTensors, type TensorNames } from '../checkpoint/model.ts';
import { PyDict } from '../checkpoint/pickle/values.ts';
import { nbytes } from '../checkpoint/tensor.ts';
import { type DistinctTensors, ViewMap } from '../checkpoint/tensor-views.ts';
import { modelStrInSlices } from '../checkpoint/torch/module-str.ts';
import { isTensor } from '../checkpoint/value-children.ts';
import { LATEST_MS } from '../inode.ts';
import { StatisticsCache } from '../numbers/statistics-cache.ts';
import type { Checksums } from '../storage/checksums.ts';
import type { CommandContent, StoredContent } from '../storage/content.ts';
import { inSlices } from '../storage/in-slices.ts';
import type { RenderedPages } from '../storage/rendered-pages.ts';
import { addCheckpointRoom, addStrayTensors } from './checkpoint-room.ts';
import { type DirtyTensor, dirtyTensorsInSlices } from './dirty-tensors.ts';
import { addExportRoom } from './export-room.ts';
import { InodeTable } from './inode-table.ts';
import { addIrRoom } from './ir-room.ts';
import { addLogsRoom, type RotatedLog } from './logs-room.ts';
import { addModelRoom } from './model-room.ts';
import { outlineInSlices } from './outline.ts';
import { savedGradients } from './saved-gradients.ts';
import { addSysRoom, bannerOf } from './sys-room.ts';
import { TensorFiles } from './tensor-files.ts';
import { tensorsJson } from './tensors-json.ts';
import { PlainFilesInViews } from './views/plain-views.ts';
import { addViewsRoom } from './views/views-room.ts';
import { addVizRoom } from './viz-room.ts';

/** The parts that make a tree writable. */
export interface TreeEditing {
  readonly checksums: Checksums;
  /** Receives what is written into /sys/control. */
  readonly control: CommandContent;
  /** Existing gradients, by the tensor's name, with their sizes in bytes. */
  readonly gradientSizes: ReadonlyMap<string, number>;
  readonly gradient: (name: string, size: number, maxSize: number) => StoredContent;
}

export interface TreeSources {
  readonly cache: RenderedPages;
  readonly version: string;
  /** The key of the state dict that /model shows. */
  readonly stateDict?: string | undefined;
  readonly log: RotatedLog;
  readonly status: () => Promise<object>;
  readonly metrics: () => string;
  /** Absent on read-only mounts. */
  readonly editing?: TreeEditing | undefined;
  /** An earlier tree used the nodeids below this one, except the root's. */
  readonly firstNodeid?: number;
}

export interface BuiltTree {
  readonly tree: InodeTable;
  /** The files of the tensors, by which a caller finds them without their objects. */
  readonly files: TensorFiles;
  /** Tensors, those with several names once. */
  readonly tensors: number;
  /** Bytes of these tensors. */
  readonly tensorBytes: number;
  /** Tensors below the model's value that /model does not show. */
  readonly leftOut: readonly LeftOut[];
  /** Tensors with dirty bytes, by the first of their names; quick if there are none. */
  readonly dirtyTensors: () => Promise<DirtyTensor[]>;
}

/** Throws ERR_MLFS_USAGE if `stateDict` names nothing. */
export function buildTree(checkpoint: Checkpoint, sources: TreeSources): BuiltTree {
  const modifiedMs = Number(checkpoint.image.base.fingerprint.mtimeNs / 1_000_000n);
  const mtimeMs = Math.min(Math.max(modifiedMs, -LATEST_MS), LATEST_MS);
  const { editing } = sources;
  const writable = editing !== undefined;
  const table = new InodeTable(mtimeMs, sources.firstNodeid, checkpoint.path);
  const model = modelOf(checkpoint, sources.stateDict);
  const names = nameTensors(checkpoint, model);
  const files = new TensorFiles(table, {
    cache: sources.cache,
    writable,
    distinct: names.distinct,
    gradients: savedGradients(checkpoint),
    stored: editing,
  });
  const { root } = table;

  table.folder(root, 'sys');
  const modelRoom = table.room('model', writable);
  const foldersBefore = table.folderCount;
  addModelRoom(table, modelRoom, model.tensors, files);
  const inModel = { folders: 1 + table.folderCount - foldersBefore, tensors: files.placed };
  if (!isModelAlone(checkpoint, model, files)) {
    const room = table.room('checkpoint', writable);
    addCheckpointRoom(table, room, checkpoint.root, {
      files,
      cache: sources.cache,
    });
    const strays = checkpoint.tensors.filter(({ tensor }) => !files.has(tensor));
    addStrayTensors(table, room, strays, files);
  }
  const statistics = new StatisticsCache();
  table.folder(root, 'views');
  addIrRoom(table, { checkpoint, model, cache: sources.cache });
  addVizRoom(table, { checkpoint, tensors: model.tensors, statistics, cache: sources.cache });
  const exportRoom = table.folder(root, 'export');
  addExportRoom(table, exportRoom, {
    checkpoint,
    checksums: editing?.checksums,
    tensors: model.tensors,
    leftOut: names.leftOut,
    cache: sources.cache,
  });
  addLogsRoom(table, table.folder(root, 'logs'), sources.log);

  const count = names.tensors;
  addSysRoom(table, table.folder(root, 'sys'), {
    version: sources.version,
    banner: () => {
      const summary = `${count} ${count === 1 ? 'tensor' : 'tensors'}`;
      return bannerOf(checkpoint, {
        version: sources.version,
        summary,
        writable,
        rooms: root.children.keys(),
        exports: [...exportRoom.children.keys()],
      });
    },
    modelStr: () => modelText(checkpoint, model),
    checkpointJson: () => checkpointText(checkpoint, names),
    tensorsJson: function* () {
      return yield* tensorsJson(() => names.all, yield* files.paths());
    },
    status: sources.status,
    metrics: sources.metrics,
    control: editing?.control,
  });
  // Last, because it reserves nodeids: the columns of the table end before them.
  const views = addViewsRoom(table, { model: modelRoom, ...inModel, files, writable, statistics });
  if (writable) table.plainFiles = new PlainFilesInViews(files.plainFiles(checkpoint.image), views);
  return {
    tree: table,
    files,
    tensors: count,
    tensorBytes: tensorBytes(names.distinct),
    leftOut: names.leftOut,
    dirtyTensors: () => inSlices(dirtyTensorsInSlices(checkpoint.image.overlay, names.all)),
  };
}

function tensorBytes(tensors: DistinctTensors): number {
  let bytes = 0;
  for (let number = 0; number < tensors.size; number++) bytes += nbytes(tensors.at(number));
  return bytes;
}

function* modelText(checkpoint: Checkpoint, model: Model): Generator<void, Uint8Array> {
  const printed = modelStrInSlices(model.module ?? checkpoint.root);
  if (printed !== undefined) return Buffer.from(`${yield* printed}\n`);
  if (model.tensors.length > 0) return yield* outlineInSlices('StateDict', model.tensors);
  return Buffer.from('This file holds no model; checkpoint.json shows what it holds.\n');
}

/** Names between two yields. */
const NAMES_SLICE = 64;

/** A tensor has the same name as everywhere else: the first of its names. */
function* checkpointText(checkpoint: Checkpoint, { all }: TensorNames): Generator<void, Uint8Array> {
  const names = new ViewMap<string>();
  let looked = 0;
  for (const { name, tensor } of all) {
    if (!names.has(tensor)) names.set(tensor, name);
    // The size of the map would be wrong: a tensor may have hundreds of thousands of names.
    if (++looked % NAMES_SLICE === 0) yield;
  }
  return yield* jsonDocument(checkpoint.root, { nameOf: (tensor) => names.get(tensor) });
}

/** Whether /model shows everything, so that the object tree needs no room of its own. */
function isModelAlone(checkpoint: Checkpoint, model: Model, files: TensorFiles): boolean {
  if (model.path.length > 0 || model.tensors.length === 0) return false;
  const { tensors } = model;
  if (!checkpoint.tensors.every(({ tensor }, at) => tensors[at]?.tensor === tensor || files.has(tensor)))
    return false;
  if (isTensor(checkpoint.root)) return true;
  if (!(checkpoint.root instanceof PyDict)) return false;
  const { entries } = checkpoint.root;
  return entries.length === model.tensors.length && entries.every(([, value]) => isTensor(value));
}
