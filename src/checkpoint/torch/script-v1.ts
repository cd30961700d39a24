/**
 * TorchScript as torch 1.0 to 1.3 wrote it: `model.json` describes the modules and a table of tensors over the records `tensors/N`;
 * `attributes.pkl` holds the values that are not tensors. The JSON is protobuf's: int64 in quotes, fields with default values left out.
 */
import { MlfsError } from '../../errors.ts';
import type { Image } from '../../storage/image.ts';
import { quoteName } from '../../visible-text.ts';
import { type DType, dtypesBy } from '../dtypes.ts';
import { NAME_LENGTH, nameStart } from '../name-length.ts';
import { items } from '../pickle/builtin-reconstructors.ts';
import { PyDict, PyGlobal, PyList, PyObject, PyTuple, type Value } from '../pickle/values.ts';
import { contiguousStride } from '../strided-layout.ts';
import type { ArchiveLayout } from './archive-layout.ts';
import { arrayOf, type JsonObject, numberOf, objectOf, textOf } from './json-record.ts';
import { RecordTensors } from './record-tensor.ts';
import type { StorageMap } from './storage-map.ts';
import type { TorchStorage } from './storage-table.ts';
import type { TorchTensor } from './torch-tensor.ts';

/** caffe2.TensorProto.DataType. */
const DATA_TYPES: ReadonlyMap<string, DType> = dtypesBy(({ caffe2 = [] }) => caffe2);

/** Real models are some twenty modules deep. */
const MAX_DEPTH = 200;

/** A `model.json`: its table of tensors first, because attributes.pkl refers to it; then the modules. */
export class ScriptModel {
  readonly #reader: ModelReader;
  readonly #model: JsonObject;

  /** Throws what is wrong with the table of tensors. */
  constructor(image: Image, layout: ArchiveLayout, model: JsonObject) {
    this.#reader = new ModelReader(image, layout);
    this.#model = model;
    this.#reader.readTensors(arrayOf(model.tensors));
  }

  get storages(): StorageMap<TorchStorage> {
    return this.#reader.storages;
  }

  /** The tensor with a number of the table, as attributes.pkl names it. */
  tensor(id: number): TorchTensor | undefined {
    return this.#reader.tensors[id];
  }

  /** The module tree. `attributes` is the value of attributes.pkl. */
  root(attributes: Value | undefined): Value {
    this.#reader.attributes = items(attributes) ?? [];
    return this.#reader.module(objectOf(this.#model.mainModule), 0);
  }
}

class ModelReader {
  readonly #image: Image;
  readonly #records: RecordTensors;
  readonly tensors: TorchTensor[] = [];
  attributes: readonly Value[] = [];
  /** What `#withTensors` made of containers: one may be in many others, and in itself. */
  readonly #made = new Map<Value, Value>();

  constructor(image: Image, layout: ArchiveLayout) {
    this.#image = image;
    this.#records = new RecordTensors(image, layout, 'little');
  }

  get storages(): StorageMap<TorchStorage> {
    return this.#records.storages;
  }

  readTensors(table: readonly unknown[]): void {
    table.forEach((item, index) => {
      const tensor = objectOf(item);
      const type = textOf(tensor.dataType, 'FLOAT');
      const dtype = DATA_TYPES.get(type);
      if (dtype === undefined)
        throw this.#refuse(`tensor ${index} is of an unknown type, ${quoteName(type)}`);
      const shape = arrayOf(tensor.dims).map((extent) => numberOf(extent, 0));
      const strides = arrayOf(tensor.strides).map((stride) => numberOf(stride, 0));
      this.tensors.push(
        this.#records.make({
          name: `tensors[${index}]`,
          record: textOf(objectOf(tensor.data).key, ''),
          dtype,
          shape,
          stride: strides.length === 0 ? contiguousStride(shape) : strides,
          storageOffset: numberOf(tensor.offset, 0),
          requiresGrad: tensor.requiresGrad === true,
          isParameter: false,
          location: textOf(tensor.device, 'cpu'),
        }),
      );
    });
  }

  module(module: JsonObject, depth: number): PyObject {
    if (depth > MAX_DEPTH) throw this.#refuse(`its modules are nested deeper than ${MAX_DEPTH}`);
    const object = new PyObject(new PyGlobal('__torch__', textOf(module.name, 'Module')), new PyTuple([]));
    const state = new PyDict();
    object.state = state;
    for (const item of arrayOf(module.parameters)) {
      const parameter = objectOf(item);
      const tensor = this.tensors[numberOf(parameter.tensorId, 0)];
      if (tensor !== undefined) state.set(this.#nameOf(parameter), tensor);
    }
    for (const item of arrayOf(module.attributes)) {
      const attribute = objectOf(item);
      const value = this.#withTensors(this.attributes[numberOf(attribute.id, 0)]);
      if (value !== undefined) state.set(this.#nameOf(attribute), value);
    }
    for (const item of arrayOf(module.submodules)) {
      const child = objectOf(item);
      state.set(this.#nameOf(child), this.module(child, depth + 1));
    }
    return object;
  }

  /**
   * torch 1.0 wrote a tensor as an object of `__main__.TensorID` with the number as its state. (Those that torch 1.1 wrote are tensors by now: see
   * reconstructors.ts.)
   */
  #withTensors(value: Value | undefined, depth = 0): Value | undefined {
    if (depth > MAX_DEPTH) return value;
    if (value instanceof PyObject && value.className === '__main__.TensorID') {
      const id = value.state ?? items(value.args)?.[0];
      return (typeof id === 'number' ? this.tensors[id] : undefined) ?? value;
    }
    if (!(value instanceof PyTuple || value instanceof PyList || value instanceof PyDict)) return value;
    const made = this.#made.get(value);
    if (made !== undefined) return made;
    this.#made.set(value, value);
    if (value instanceof PyTuple) {
      const inside = value.items.map((item) => this.#withTensors(item, depth + 1) as Value);
      if (inside.every((item, index) => item === value.items[index])) return value;
      const tuple = new PyTuple(inside, value.className);
      this.#made.set(value, tuple);
      return tuple;
    }
    const { length } = value instanceof PyDict ? value.entries : value.items;
    for (let index = 0; index < length; index++) {
      if (value instanceof PyDict) {
        const entry = value.entries[index] as [key: Value, value: Value];
        entry[1] = this.#withTensors(entry[1], depth + 1) as Value;
      } else value.items[index] = this.#withTensors(value.items[index], depth + 1) as Value;
    }
    return value;
  }

  #nameOf(described: JsonObject): string {
    const name = textOf(described.name, '');
    if (name.length <= NAME_LENGTH) return name;
    const { path } = this.#image;
    const reason = `has a name of more than ${NAME_LENGTH} characters: ${quoteName(nameStart(name))}`;
    throw new MlfsError('ERR_MLFS_LIMIT', `${path}: model.json: ${reason}`, { path });
  }

  #refuse(reason: string): MlfsError {
    return new MlfsError('ERR_MLFS_FORMAT', `${this.#image.path}: model.json: ${reason}`, {
      path: this.#image.path,
    });
  }
}
