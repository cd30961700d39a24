/**
 * Names for the tensors below a value: one recursion for state dicts, modules, TorchScript and everything in them. The rules are those of
 * docs/FORMATS.md, "Names of tensors":
 *
 *     key of a dict, attribute, parameter, buffer, child  →  `name.key`
 *     index in a list or tuple                            →  `name.0`
 *     steps that only the pickle needs (`<state>`, `<arg0>`)  →  nothing
 *     a sparse, nested or wrapped tensor                  →  its parts by name; the object's own name when there is one part
 *
 * One name leads to one tensor: when two tensors would have the same name, the second is `name~2`. Modules that share parts may have
 * exponentially many names, and a pickle may contain itself. So the cost of naming is bounded; tensors beyond the bound get no name here.
 */
import { FlatNames } from './flat-names.ts';
import { Found } from './found-names.ts';
import { isPackedObject, isScriptObject, MODULE_PARTS, moduleBody } from './modules.ts';
import { PyDict, PyList, PyObject, PySet, PyTuple, type Value } from './pickle/values.ts';
import type { Tensor, TensorIndex } from './tensor.ts';
import { isSameView, ViewSet } from './tensor-views.ts';
import { TensorObject, wrappedByParameter } from './torch/tensor-object.ts';
import { TorchTensor } from './torch/torch-tensor.ts';
import { UniqueNames } from './unique-names.ts';
import {
  isContainer,
  isPlumbing,
  isTensor,
  isWithinPlumbing,
  keyText,
  partAt,
  rowLength,
  rowsOf,
  sizeOf,
} from './value-children.ts';
import { newMarks } from './walk-marks.ts';

const MAX_DEPTH = 500;
/**
 * Budget for naming: every visited part counts, and every character of a tensor's further names; each container and name adds a constant. Some
 * 37,000 further names fit: a mount that shows them takes less than 512 MB, however small its file is.
 */
const NAMING_WORK = 24_000_000;
const NAME_COST = 640;
const CONTAINER_COST = 16;
/** What is remembered of a list that is named last. */
const DEFERRED_COST = 96;
/** A tensor that is compared with others, and each of its dimensions. */
const COMPARED_COST = 64;
const DIMENSION_COST = 4;

/** The budget for naming. What exceeds it gets no name. */
export class NamingWork {
  #left = NAMING_WORK;

  /** Whether the budget is used up. */
  get spent(): boolean {
    return this.#left <= 0;
  }

  /** Takes `amount` from the budget. Returns whether the budget was enough. */
  spend(amount: number): boolean {
    this.#left -= amount;
    return this.#left > 0;
  }
}

export interface NamesOfTensors {
  readonly names: TensorIndex;
  /** Names that were changed because another tensor has the name. */
  readonly separated: readonly string[];
}

/** The tensors below a value by name, in the order of the file. */
export function tensorNames(value: Value, work = new NamingWork()): NamesOfTensors {
  if (value instanceof PyDict && work.spend(value.entries.length + CONTAINER_COST)) {
    const names = FlatNames.of(value);
    if (names !== undefined) return { names, separated: [] };
  }
  const naming = new Naming(work);
  naming.visit(value, undefined);
  return naming.finish(new Map());
}

/** A value whose tensors were named before, and the path of the object tree that leads to it. */
export interface NamedElsewhere {
  readonly path: readonly string[];
  readonly value: Value;
}

/**
 * Names for the tensors below `values`, none of which is in `taken`. Tensors below `elsewhere` are skipped there, and are named only if
 * they also occur at another place.
 */
export function otherTensorNames(
  values: Iterable<readonly [name: string | undefined, value: Value]>,
  taken: TensorIndex,
  elsewhere: NamedElsewhere | undefined,
): UniqueNames {
  const naming = new Naming(new NamingWork(), elsewhere);
  for (const [name, value] of values) {
    const at = name === undefined ? undefined : new Place(undefined, name);
    if (at !== undefined && name === BYTECODE) naming.visitLast(value, at);
    else naming.visit(value, at);
  }
  return naming.finish(taken);
}

/** The program of a mobile archive, which repeats constants. */
const BYTECODE = 'bytecode';

/** Where a value is. The text of its name is made when it is asked for: most values of a forged file lead to no tensor, and its keys may be long. */
class Place {
  readonly #above: Place | undefined;
  readonly #key: Value;
  #text: string | undefined;

  constructor(above: Place | undefined, key: Value) {
    this.#above = above;
    this.#key = key;
  }

  get text(): string {
    this.#text ??=
      this.#above === undefined ? keyText(this.#key) : `${this.#above.text}.${keyText(this.#key)}`;
    return this.#text;
  }

  /** Whether this is where a path of the object tree leads. Some of a path's steps are only the pickle's. */
  static isAt(place: Place | undefined, path: readonly string[]): boolean {
    let at = place;
    for (let index = path.length - 1; index >= 0; index--) {
      const step = path[index] as string;
      const argument = /^<arg(\d+)>$/.exec(step)?.[1];
      if (at !== undefined && keyText(at.#key) === (argument ?? step)) at = at.#above;
      else if (argument !== undefined || !(isPlumbing(step) || isWithinPlumbing(path, index))) return false;
    }
    return at === undefined;
  }
}

class Naming {
  readonly #work: NamingWork;
  readonly #elsewhere: NamedElsewhere | undefined;
  readonly #found = new Found();
  readonly #open = new Set<Value>();
  /** The mark of tensors that have a name. */
  readonly #named = newMarks(1);
  /** Values that repeat tensors, mostly lists that are attributes: an LSTM's `_flat_weights` repeats parameters that have names. */
  readonly #repeating: { readonly value: Value; readonly at: Place }[] = [];

  constructor(work: NamingWork, elsewhere?: NamedElsewhere) {
    this.#work = work;
    this.#elsewhere = elsewhere;
  }

  /** `at` is undefined for the root. */
  visit(value: Value, at: Place | undefined): void {
    const { value: named, path = [] } = this.#elsewhere ?? {};
    if (value === named && Place.isAt(at, path)) {
      this.#found.push(at?.text ?? '', undefined);
    } else if (isTensor(value)) this.#tensor(value, at, undefined);
    else if (isContainer(value)) this.#inside(value, sizeOf(value), () => this.#container(value, at));
  }

  /** Visits a value that repeats tensors: tensors that have another name get no name here. */
  visitLast(value: Value, at: Place): void {
    if (this.#work.spend(DEFERRED_COST)) this.#repeating.push({ value, at });
  }

  /** The names, each of one tensor and none in `taken`. */
  finish(taken: TensorIndex): UniqueNames {
    const unique = new UniqueNames(taken);
    const { names, tensors } = this.#found;
    for (let index = 0; index < names.length; index++) {
      const tensor = tensors[index];
      if (tensor === undefined) unique.elsewhere ??= names[index];
      else unique.add(names[index] as string, tensor);
    }
    if (this.#repeating.length === 0) return unique;
    const named = new ViewSet();
    for (const tensor of taken.values()) named.add(tensor);
    for (const tensor of tensors) if (tensor !== undefined) named.add(tensor);
    this.#found.clear();
    // The list grows here: lists may hold objects with lists.
    for (let index = 0; index < this.#repeating.length; index++) {
      const { value, at } = this.#repeating[index] as { value: Value; at: Place };
      this.visit(value, at);
    }
    for (let index = 0; index < names.length; index++) {
      const tensor = tensors[index];
      if (tensor === undefined) unique.elsewhere ??= names[index];
      else if (!named.has(tensor)) unique.add(names[index] as string, tensor);
    }
    return unique;
  }

  /** A tensor at `at`, or below it under `key`. */
  #tensor(tensor: Tensor, at: Place | undefined, key: Value | undefined): void {
    this.#add(tensor, at, key);
    const attributes = tensor instanceof TorchTensor ? tensor.attributes : undefined;
    const { scale, zeroPoint } = tensor.quantizer ?? {};
    if (attributes === undefined && typeof scale !== 'object' && typeof zeroPoint !== 'object') return;
    const place = key === undefined ? at : new Place(at, key);
    if (attributes !== undefined) {
      this.#inside(tensor, 1, () => {
        for (const dict of attributesOf(attributes) ?? []) this.#attributes(dict, place);
      });
    }
    if (typeof scale === 'object') this.#add(scale, place, 'scales');
    if (typeof zeroPoint === 'object') this.#add(zeroPoint, place, 'zero_points');
  }

  #add(tensor: Tensor, at: Place | undefined, key: Value | undefined): void {
    // A tensor's first name is free: opening the checkpoint has bounded the number of tensors and the size of their names.
    const isFirst = tensor.mark !== this.#named;
    if (isFirst) tensor.mark = this.#named;
    if (this.#work.spent && !isFirst) return;
    const name = key === undefined ? (at?.text ?? '') : joined(at, keyText(key));
    if (isFirst || this.#work.spend(NAME_COST + name.length)) this.#found.push(name, tensor);
  }

  #container(value: Exclude<Value, null> & object, at: Place | undefined): void {
    if (value instanceof PyDict) this.#dict(value, at);
    else if (value instanceof PyList || value instanceof PyTuple || value instanceof PySet) {
      this.#numbered(value.items, at);
    } else if (value instanceof TensorObject) this.#tensorObject(value, at);
    else if (value instanceof PyObject) {
      const body = moduleBody(value);
      const data = wrappedByParameter(value);
      if (body !== undefined) this.#module(body, at);
      else if (data !== undefined) this.#parameter(data, at);
      else this.#object(value, at);
    }
  }

  #dict(dict: PyDict, at: Place | undefined): void {
    for (const [key, item] of dict.entries) this.#child(item, at, key);
    if (dict.attributes !== undefined) this.#attributes(dict.attributes, at);
  }

  #numbered(items: readonly Value[], at: Place | undefined): void {
    for (let index = 0; index < items.length; index++) this.#child(items[index] as Value, at, index);
  }

  #child(value: Value, at: Place | undefined, key: Value): void {
    if (this.#work.spent) return;
    const isAt = value === this.#elsewhere?.value;
    if (isTensor(value) && !isAt) this.#tensor(value, at, key);
    else if (isAt || isContainer(value)) this.visit(value, new Place(at, key));
  }

  #attributes(dict: PyDict, at: Place | undefined): void {
    for (const [key, value] of this.#paid(dict.entries)) {
      if (isList(value)) this.visitLast(value, new Place(at, key));
      else this.#child(value, at, key);
    }
  }

  /** What is looked at besides the container that `visit` paid for; nothing when it costs too much. One dict may be the state of a thousand objects. */
  #paid<T>(values: readonly T[]): readonly T[] {
    return this.#work.spend(values.length) ? values : [];
  }

  /** Follows `state_dict()`: own parameters, own persistent buffers, the children, and packed weights, for which it has fixed names. */
  #module(body: PyDict, at: Place | undefined): void {
    const transient = body.get('_non_persistent_buffers_set');
    const skipped = new Set(transient instanceof PySet ? this.#paid(transient.items) : []);
    const part = (name: string) => this.#paid(entriesOf(body.get(name)));
    for (const [key, value] of part('_parameters')) this.#child(value, at, key);
    for (const [key, value] of part('_buffers')) if (!skipped.has(key)) this.#child(value, at, key);
    for (const [key, value] of part('_modules')) this.#child(value, at, key);
    for (const [key, value] of this.#paid(body.entries)) {
      if (!MODULE_PARTS.has(key) && isPackedObject(value)) this.#child(value, at, key);
    }
  }

  #parameter(data: Value, at: Place | undefined): void {
    const from = this.#found.length;
    this.visit(data, at);
    const only = this.#onlySince(from);
    if (only !== undefined) {
      this.#found.tensors[from] = new TorchTensor(only, only.requiresGrad, true, only);
    }
  }

  /**
   * Names its own tensors. Tensors deeper in its attributes describe it (the mesh of a DTensor, caches), so they are visited only when
   * there are no others.
   */
  #tensorObject(object: TensorObject, at: Place | undefined): void {
    const parts = this.#ownTensors(object);
    if (parts.length === 0) this.#object(object, at);
    else if (parts.length > 1) for (const [key, part] of parts) this.#child(part, at, key);
    else {
      const from = this.#found.length;
      this.visit(parts[0]?.[1] as Value, at);
      this.#callClass(from, object.className);
    }
  }

  /** The tensors that are arguments or attributes of a tensor subclass, each once. */
  #ownTensors(object: TensorObject): (readonly [key: Value, value: Value])[] {
    const parts: (readonly [key: Value, value: Value])[] = [];
    const seen = new ViewSet();
    const add = (key: Value, value: Value) => {
      if (isTensor(value)) {
        const { length: dimensions } = value.shape;
        if (!this.#work.spend(COMPARED_COST + dimensions * DIMENSION_COST) || seen.has(value)) return;
        seen.add(value);
      } else if (!(value instanceof TensorObject) && wrappedByParameter(value) === undefined) return;
      parts.push([key, value]);
    };
    const addAll = (dict: PyDict) => {
      for (const [key, value] of this.#paid(dict.entries)) add(key, value);
    };
    const { args, dictItems, state } = object;
    if (args instanceof PyTuple) {
      for (const [index, item] of args.items.entries()) {
        if (item instanceof PyDict) addAll(item);
        else add(index, item);
      }
    }
    if (dictItems !== undefined) addAll(dictItems);
    for (const dict of attributesOf(state) ?? []) addAll(dict);
    return parts;
  }

  #object(object: PyObject, at: Place | undefined): void {
    const { args, kwargs, listItems, dictItems, state } = object;
    const from = this.#found.length;
    const deferredFrom = this.#repeating.length;
    const attributes = attributesOf(state);
    if (attributes !== undefined) {
      for (const dict of attributes) this.#attributes(dict, at);
    } else if (state !== undefined) this.#state(object, state, at);
    if (dictItems !== undefined) this.#dict(dictItems, at);
    if (listItems !== undefined) this.#numbered(listItems, at);
    if (kwargs !== undefined) this.visit(kwargs, at);
    this.#arguments(args, at);
    if (at === undefined || dictItems !== undefined || listItems !== undefined || isScriptObject(object))
      return;
    const only = this.#onlySince(from);
    if (only === undefined) return;
    if (!this.#work.spend(1) || object.className?.startsWith('torch.jit.')) return;
    // Lists are named last: a tensor in one is another part of the object, unless it is the same tensor again.
    for (const { value } of this.#repeating.slice(deferredFrom)) if (this.#holdsOther(value, only)) return;
    this.#found.names[from] = at.text;
    this.#callClass(from, object.className);
  }

  /** Whether a value contains a tensor other than `known`. */
  #holdsOther(value: Value, known: Tensor): boolean {
    if (isTensor(value)) return this.#work.spend(COMPARED_COST) && !isSameView(value, known);
    if (!isContainer(value)) return false;
    let found = false;
    this.#inside(value, 0, () => {
      for (const row of rowsOf(value)) {
        const length = rowLength(row);
        if (!this.#work.spend(length)) return;
        for (let index = 0; index < length && !found; index++) {
          const part = partAt(row, index);
          found = part !== undefined && this.#holdsOther(part, known);
        }
      }
    });
    return found;
  }

  /**
   * `state` is what `__getstate__` returned, and is not a dict. Its indexes are left out of the names when all tensors have the same one.
   */
  #state(object: PyObject, state: Value, at: Place | undefined): void {
    const from = this.#found.length;
    const weight = weightWithoutBias(state);
    if (weight !== undefined) {
      this.#child(weight, at, 0);
      return;
    }
    this.visit(state, at);
    if (isQuantizedConvolution(object.className)) this.#callWeightAndBias(from, at);
    else while (this.#dropCommonNumber(from, at));
  }

  /** A single argument with tensors is the object's content and adds nothing to the name; several arguments add their indexes. */
  #arguments(args: Value, at: Place | undefined): void {
    const from = this.#found.length;
    this.visit(args, at);
    if (args instanceof PyTuple && args.items.length > 0) this.#dropCommonNumber(from, at);
  }

  /** Removes `.0` from `name.0`, `name.0.a`, … when all names found since `from` have it. Returns whether they had. */
  #dropCommonNumber(from: number, at: Place | undefined): boolean {
    const count = this.#found.length - from;
    if (count === 0) return false;
    const start = at === undefined ? 0 : at.text.length + 1;
    const step = /^\d+(?=\.|$)/.exec(this.#found.names[from]?.slice(start, start + 20) ?? '')?.[0];
    if (step === undefined || !this.#work.spend(count)) return false;
    const end = start + step.length;
    for (let index = from; index < this.#found.length; index++) {
      const full = this.#found.names[index] as string;
      if (!full.startsWith(step, start) || (full.length > end && full[end] !== '.')) return false;
    }
    for (let index = from; index < this.#found.length; index++) {
      const rest = (this.#found.names[index] as string).slice(end + 1);
      this.#found.names[index] = rest === '' ? (at?.text ?? '') : joined(at, rest);
    }
    return true;
  }

  /** Renames the parts of a quantized convolution, which is pickled as a tuple: the weight, its values for each channel, and the bias. */
  #callWeightAndBias(from: number, at: Place | undefined): void {
    const numbers: string[] = [];
    const count = this.#found.length - from;
    if (count === 0 || !this.#work.spend(count * CONTAINER_COST)) return;
    const start = at === undefined ? 0 : at.text.length + 1;
    for (let index = from; index < this.#found.length; index++) {
      const [number = '', ...rest] = (this.#found.names[index] as string).slice(start).split('.');
      if (!numbers.includes(number)) numbers.push(number);
      const called = ['weight', 'bias'][numbers.indexOf(number)];
      if (called === undefined) return;
      this.#found.names[index] = joined(at, [called, ...rest].join('.'));
    }
  }

  /** The tensor that was found since `from`, if nothing else was. */
  #onlySince(from: number): Tensor | undefined {
    return from + 1 === this.#found.length ? this.#found.tensors[from] : undefined;
  }

  /** When only one tensor was found since `from`, notes the class that it came from. */
  #callClass(from: number, className: string | undefined): void {
    const tensor = this.#onlySince(from);
    if (tensor === undefined || className === undefined) return;
    this.#found.tensors[from] = new TorchTensor(tensor, tensor.requiresGrad, tensor.isParameter, {
      ...tensor,
      note: className,
    });
  }

  /** Runs `visit` unless this value is being visited already, is too deep, or the budget is used up. */
  #inside(value: Value, size: number, visit: () => void): void {
    if (!this.#work.spend(size + CONTAINER_COST) || this.#open.has(value) || this.#open.size > MAX_DEPTH)
      return;
    this.#open.add(value);
    visit();
    this.#open.delete(value);
  }
}

function joined(at: Place | undefined, part: string): string {
  return at === undefined ? part : `${at.text}.${part}`;
}

function entriesOf(value: Value | undefined): PyDict['entries'] {
  return value instanceof PyDict ? value.entries : [];
}

/** The attributes that BUILD sets: a dict, or a pair of dicts when the class has slots. */
function attributesOf(state: Value | undefined): readonly PyDict[] | undefined {
  if (state instanceof PyDict) return [state];
  if (!(state instanceof PyTuple) || state.items.length !== 2) return undefined;
  if (!state.items.every((item) => item === null || item instanceof PyDict)) return undefined;
  return state.items.filter((item) => item instanceof PyDict);
}

/** A list, or TorchScript's form of one. */
function isList(value: Value): boolean {
  if (value instanceof PyList) return true;
  if (!(value instanceof PyObject) || !value.className?.startsWith('torch.jit._pickle.')) return false;
  return value.args instanceof PyTuple && value.args.items[0] instanceof PyList;
}

/**
 * The weight of a linear layer without a bias. Packed weights are `(weight, bias)`, so the weight has an index even when there is no bias.
 */
function weightWithoutBias(state: Value): Tensor | undefined {
  let inner = state;
  for (let depth = 0; depth < 4 && inner instanceof PyTuple && inner.items.length === 1; depth++) {
    inner = inner.items[0] as Value;
  }
  if (!(inner instanceof PyTuple) || inner.items.length !== 2 || inner.items[1] !== null) return undefined;
  const [weight] = inner.items;
  return isTensor(weight) ? weight : undefined;
}

function isQuantizedConvolution(className: string | undefined): boolean {
  return /\.quantized\.(.*\.)?Conv\w*\d[dD]$/.test(className ?? '');
}
