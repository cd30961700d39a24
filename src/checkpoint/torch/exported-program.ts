/**
 * `.pt2` of torch.export as of torch 2.13: each weight is a record of its own, `data/weights/weight_N`, and
 * `data/weights/MODEL_weights_config.json` says what it is called, its dtype and its strides; constants likewise. The graph is
 * in `models/MODEL.json`. (Older ones are plain zips with torch files inside, which are opened as bundles.)
 */
import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { bounded, MAX_NAME_BYTES, quoteName } from '../../visible-text.ts';
import type { ParsedCheckpoint } from '../checkpoint.ts';
import { type DType, dtypesBy } from '../dtypes.ts';
import { PyDict } from '../pickle/values.ts';
import type { NamedTensor } from '../tensor.ts';
import type { Archive } from '../zip/archive.ts';
import { type ArchiveLayout, exportConfigs } from './archive-layout.ts';
import { arrayOf, type JsonObject, numberOf, objectOf, readJsonRecord, textOf } from './json-record.ts';
import { RecordTensors } from './record-tensor.ts';

/** ScalarType of torch.export's schema. */
export const SCALAR_TYPES: ReadonlyMap<number, DType> = dtypesBy(({ exportType }) =>
  exportType === undefined ? [] : [exportType],
);

export async function openExportedProgram(
  image: Image,
  archive: Archive,
  layout: ArchiveLayout,
  metadata: Readonly<Record<string, string>>,
  byteorder: 'little' | 'big',
): Promise<ParsedCheckpoint> {
  const records = new RecordTensors(image, layout, byteorder);
  const root = new PyDict();
  const tensors: NamedTensor[] = [];
  const warnings = [...archive.warnings];
  for (const [record, entry] of exportConfigs(layout)) {
    const folder = record.slice(0, record.lastIndexOf('/') + 1);
    const config = objectOf((await readJsonRecord(image, entry)).config);
    for (const [name, value] of Object.entries(config)) {
      const described = objectOf(value);
      const tensor = described.use_pickle === true ? undefined : tensorOf(records, folder, name, described);
      if (tensor === undefined) {
        warnings.push(
          refuse(
            image.path,
            `${quoteName(name)} in ${bounded(record, MAX_NAME_BYTES)} is not a plain tensor and is not shown`,
          ),
        );
        continue;
      }
      root.set(name, tensor);
      tensors.push({ path: [name], tensor });
    }
  }
  return {
    format: 'torch-export',
    root,
    tensors,
    storages: records.storages,
    entries: archive.entries,
    records: layout.records,
    unknownGlobals: [],
    warnings,
    metadata,
  };
}

function tensorOf(records: RecordTensors, folder: string, name: string, described: JsonObject) {
  const meta = objectOf(described.tensor_meta);
  const dtype = SCALAR_TYPES.get(numberOf(meta.dtype, 0));
  if (dtype === undefined) return undefined;
  const ints = (value: unknown) => arrayOf(value).map((item) => numberOf(objectOf(item).as_int, Number.NaN));
  const device = objectOf(meta.device);
  const index = typeof device.index === 'number' ? `:${device.index}` : '';
  return records.make({
    name,
    record: folder + textOf(described.path_name, ''),
    dtype,
    shape: ints(meta.sizes),
    stride: ints(meta.strides),
    storageOffset: numberOf(objectOf(meta.storage_offset).as_int, 0),
    requiresGrad: meta.requires_grad === true,
    isParameter: described.is_param === true,
    location: `${textOf(device.type, 'cpu')}${index}`,
  });
}

function refuse(path: string, reason: string): MlfsError {
  return new MlfsError('ERR_MLFS_FORMAT', `${path}: ${reason}`, { path });
}
