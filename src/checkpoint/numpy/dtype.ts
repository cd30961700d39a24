/**
 * NumPy dtypes as pickles describe them: `dtype('f4', False, True)` with the state (version, byte order, (base, shape) of a subarray, field
 * names, fields, itemsize, alignment, flags[, metadata]).
 */
import { type DType, dtypeOfNumpy } from '../dtypes.ts';
import { stringRepr } from '../pickle/python-repr.ts';
import { PyBytes, PyDict, PyObject, PyTuple, type Value } from '../pickle/values.ts';

export interface NumpyDtype {
  /** NumPy's short name without the byte order: `f8`, `M8`, `U5`, `V12`, `O8`. */
  readonly code: string;
  /** Bytes of an element; for objects, the size of a pointer. */
  readonly itemsize: number;
  readonly byteorder: 'little' | 'big';
  /** As NumPy prints it: `float64`, `datetime64[ns]`, `<U5`, `[('a', '<i4')]`. */
  readonly name: string;
  /** The tensor dtype for such an array; undefined when torch has none. */
  readonly tensor: DType | undefined;
}

/** Dates and times are counts of their unit. */
function tensorDtype(code: string): DType | undefined {
  return code === 'M8' || code === 'm8' ? 'int64' : dtypeOfNumpy(code);
}

const CODE = /^[a-zA-Z]\d{0,15}$/;
/** Maximum depth: a forged description may contain itself, or one part a thousand times. */
const MAX_DEPTH = 8;
const MAX_FIELDS = 64;
const MAX_FIELD_NAME = 64;

/** The dtype that a value describes; undefined when it describes none. */
export function numpyDtype(value: Value | undefined): NumpyDtype | undefined {
  if (!(value instanceof PyObject && value.className === 'numpy.dtype')) return undefined;
  const [code] = itemsOf(value.args);
  if (typeof code !== 'string' || !CODE.test(code)) return undefined;
  const state = itemsOf(value.state);
  const itemsize = itemsizeOf(code, state);
  if (itemsize === undefined) return undefined;
  const plain = !(state[2] instanceof PyTuple) && !(state[4] instanceof PyDict);
  return {
    code,
    itemsize,
    byteorder: state[1] === '>' ? 'big' : 'little',
    // Made on request: it may be long.
    get name() {
      return nameOf(code, state, { fields: MAX_FIELDS, depth: MAX_DEPTH });
    },
    tensor: plain ? tensorDtype(code) : undefined,
  };
}

function itemsOf(value: Value | undefined): readonly Value[] {
  return value instanceof PyTuple ? value.items : [];
}

/** Kinds whose size the state says, whatever the code says: texts, bytes, records and objects. */
const SIZED_BY_STATE = /^[aOSUV]/;

/**
 * The element size, from the state or else from the code; undefined if the state contradicts the code, because the elements could not be read.
 * Characters of `U` have four bytes.
 */
function itemsizeOf(code: string, state: readonly Value[]): number | undefined {
  const stated = state[5];
  const size = Number(code.slice(1)) * (code[0] === 'U' ? 4 : 1);
  if (typeof stated !== 'number' || stated < 0) return Number.isSafeInteger(size) ? size : undefined;
  return stated === size || code.length === 1 || SIZED_BY_STATE.test(code) ? stated : undefined;
}

const KINDS: ReadonlyMap<string, string> = new Map([
  ['f', 'float'],
  ['i', 'int'],
  ['u', 'uint'],
  ['c', 'complex'],
]);

interface Budget {
  fields: number;
  depth: number;
}

function nameOf(code: string, state: readonly Value[], budget: Budget): string {
  const [base, shape] = itemsOf(state[2]);
  if (base !== undefined) return `(${partName(base, budget)}, ${shapeText(shape)})`;
  if (state[4] instanceof PyDict) return fieldsName(itemsOf(state[3]), state[4], budget);
  const kind = code[0] as string;
  if (code === 'b1') return 'bool';
  if (kind === 'O') return 'object';
  if (kind === 'M' || kind === 'm') {
    const unit = unitOf(state);
    return `${kind === 'M' ? 'datetime64' : 'timedelta64'}${unit === '' ? '' : `[${unit}]`}`;
  }
  const name = KINDS.get(kind);
  if (name !== undefined) return `${name}${Number(code.slice(1)) * 8}`;
  return `${state[1] === '>' ? '>' : kind === 'U' ? '<' : '|'}${code}`;
}

/** `[('a', '<i4'), ('b', '>f8')]` */
function fieldsName(names: readonly Value[], fields: PyDict, budget: Budget): string {
  const parts: string[] = [];
  for (const name of names) {
    if (typeof name !== 'string') continue;
    if (budget.fields-- <= 0) {
      parts.push('...');
      break;
    }
    const [type] = itemsOf(fields.get(name));
    parts.push(`(${stringRepr(name.slice(0, MAX_FIELD_NAME))}, ${partName(type, budget)})`);
  }
  return `[${parts.join(', ')}]`;
}

/** A dtype inside another. */
function partName(value: Value | undefined, budget: Budget): string {
  if (!(value instanceof PyObject && value.className === 'numpy.dtype') || budget.depth <= 0) return '...';
  const [code] = itemsOf(value.args);
  if (typeof code !== 'string' || !CODE.test(code)) return '...';
  const state = itemsOf(value.state);
  if (state[2] instanceof PyTuple || state[4] instanceof PyDict) {
    budget.depth--;
    const name = nameOf(code, state, budget);
    budget.depth++;
    return name;
  }
  const order = state[1] === '>' ? '>' : state[1] === '|' ? '|' : '<';
  const unit = code === 'M8' || code === 'm8' ? unitOf(state) : '';
  return stringRepr(`${order}${code}${unit === '' ? '' : `[${unit}]`}`);
}

function shapeText(shape: Value | undefined): string {
  const extents = shape instanceof PyTuple ? shape.items.slice(0, MAX_FIELDS) : [shape];
  const shown = extents.map((extent) => (typeof extent === 'number' ? String(extent) : '...'));
  return shown.length === 1 ? `(${shown[0]},)` : `(${shown.join(', ')})`;
}

const UNIT = /^[A-Za-z]{1,7}$/;

/** `ns`, `25s`, from the metadata `({}, (b'ns', 1, 1, 1))`. */
function unitOf(state: readonly Value[]): string {
  const [unit, multiple] = itemsOf(itemsOf(state[8])[1]);
  const text = unit instanceof PyBytes ? Buffer.from(unit.bytes.subarray(0, 16)).toString('latin1') : unit;
  if (typeof text !== 'string' || !UNIT.test(text) || text === 'generic') return '';
  return typeof multiple === 'number' && multiple > 1 ? `${multiple}${text}` : text;
}
