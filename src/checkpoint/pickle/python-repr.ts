import { escaped, visible } from '../../visible-text.ts';
import {
  PyBytes,
  PyDict,
  PyFloat,
  PyGlobal,
  PyList,
  PyObject,
  PySet,
  PyTuple,
  type Value,
} from './values.ts';

/** Python's repr() of plain values, digit for digit. */

/** `1e-05`, `0.1`, `1.0`, `1e+16`, `nan`: the shortest digits that read back, in Python's notation. */
export function floatRepr(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [mantissa = '', exponentText = '0'] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? '-' : '+';
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const digits = mantissa.replace(/[-.]/g, '');
  const sign = value < 0 ? '-' : '';
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** What `str.isprintable` says no to. */
const NOT_PRINTABLE = /(?! )[\p{C}\p{Z}]/u;

/** A str's repr: single quotes unless the text has one and no double quote. */
export function stringRepr(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let body = '';
  for (const char of text) {
    if (char === '\\' || char === quote) body += `\\${char}`;
    else body += NOT_PRINTABLE.test(char) ? escaped(char) : char;
  }
  return quote + body + quote;
}

/** `b'\\x00ab'`; long ones by their length. */
function bytesRepr({ bytes, mutable }: PyBytes): string {
  if (bytes.length > REPR_BYTES) return `<${bytes.length} bytes>`;
  const text = stringRepr(Buffer.from(bytes).toString('latin1'));
  const ascii = text.replace(/[\u0080-\u00ff]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`);
  return mutable ? `bytearray(b${ascii})` : `b${ascii}`;
}

const REPR_BYTES = 256;
/** Values in one repr; it is for keys and arguments of layers, which are short. */
const REPR_VALUES = 1000;
const REPR_DEPTH = 50;
const REPR_TEXT = 64 * 1024;

interface Budget {
  values: number;
  depth: number;
  /** Characters of texts in it: each is cut where they end, and what follows is left out. */
  text: number;
}

/** repr() of a plain value; other values are shown by the name of their class, and excess as `...`. */
export function valueRepr(
  value: Value | undefined,
  budget: Budget = { values: REPR_VALUES, depth: REPR_DEPTH, text: REPR_TEXT },
): string {
  if (value === undefined || value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  if (typeof value === 'string') return boundedText(value, budget);
  if (value instanceof PyFloat) return floatRepr(value.value);
  if (value instanceof PyBytes) return bytesRepr(value);
  if (value instanceof PyGlobal) return visible(value.path);
  if (value instanceof PyObject) return `<${visible(value.className ?? 'object')}>`;
  if (value instanceof PyDict) {
    const shown = value.entries.slice(0, Math.max(0, budget.values) + 1);
    const keys = parts(
      shown.map(([key]) => key),
      budget,
    );
    const items = parts(
      shown.slice(0, keys.length).map(([, item]) => item),
      budget,
    );
    return `{${items.map((item, index) => `${keys[index]}: ${item}`).join(', ')}}`;
  }
  if (value instanceof PyTuple) {
    const items = parts(value.items, budget);
    if (value.className !== undefined) return `${visible(value.className)}([${items.join(', ')}])`;
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(', ')})`;
  }
  if (value instanceof PyList) return `[${parts(value.items, budget).join(', ')}]`;
  if (value instanceof PySet) {
    return value.items.length === 0 ? 'set()' : `{${parts(value.items, budget).join(', ')}}`;
  }
  return `<${value.type}>`;
}

function boundedText(text: string, budget: Budget): string {
  const shown = text.length <= budget.text ? text : `${text.slice(0, Math.max(0, budget.text))}...`;
  budget.text -= shown.length;
  if (budget.text <= 0) budget.values = 0;
  return stringRepr(shown);
}

function parts(items: readonly Value[], budget: Budget): string[] {
  const shown: string[] = [];
  if (budget.depth === 0) return ['...'];
  budget.depth--;
  for (const item of items) {
    if (budget.values-- <= 0) {
      shown.push('...');
      break;
    }
    shown.push(valueRepr(item, budget));
  }
  budget.depth++;
  return shown;
}
