/**
 * The graph of an exported program, from torch.export's own JSON (torch/_export/serde/schema.py). Unknown fields are ignored, and unknown
 * arguments are printed as JSON: the schema grows with every version of torch.
 */
import { SCALAR_TYPES } from '../../checkpoint/torch/exported-program.ts';
import { arrayOf, type JsonObject, numberOf, objectOf, textOf } from '../../checkpoint/torch/json-record.ts';
import { symbolicSize } from './symbolic-size.ts';

export interface ExportedNode {
  /** `torch.ops.aten.linear.default`. */
  readonly target: string;
  readonly outputs: readonly string[];
  /** Shapes and dtypes of the outputs; empty if the program does not have them. */
  readonly types: readonly string[];
  readonly inputs: readonly string[];
  /** Names of the values among the inputs. */
  readonly uses: readonly string[];
  /** The part of the module that it comes from: `blocks.0.conv`. */
  readonly module: string;
  /** Graphs among the inputs: the branches of a cond. */
  readonly graphs: readonly InnerGraph[];
}

export interface InnerGraph {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly nodes: readonly ExportedNode[];
  readonly outputs: readonly string[];
}

export interface ExportedInput {
  readonly name: string;
  readonly type: string;
  /** `parameter`, `buffer`, `constant`, `input`, … */
  readonly role: string;
  /** Its name in the state dict; empty for the user's inputs. */
  readonly target: string;
}

export interface ExportedOutput {
  readonly text: string;
  readonly uses: readonly string[];
  readonly role: string;
  readonly target: string;
}

export interface ExportedGraph {
  readonly inputs: readonly ExportedInput[];
  readonly nodes: readonly ExportedNode[];
  readonly outputs: readonly ExportedOutput[];
  readonly facts: readonly string[];
}

export function readExportedGraph(program: JsonObject): ExportedGraph {
  const module = objectOf(program.graph_module);
  const graph = objectOf(module.graph);
  const signature = objectOf(module.signature);
  const types = new ValueTypes(graph);
  const roles = new Map(arrayOf(signature.input_specs).map((spec) => roleOf(objectOf(spec))));
  const results = arrayOf(signature.output_specs).map((spec) => roleOf(objectOf(spec))[1]);
  return {
    inputs: arrayOf(graph.inputs).map((input) => {
      const { text: name } = argument(input);
      return { name, type: types.of(name), ...(roles.get(name) ?? { role: 'input', target: '' }) };
    }),
    nodes: arrayOf(graph.nodes).map((node) => nodeOf(objectOf(node), types, 0)),
    outputs: arrayOf(graph.outputs).map((output, position) => ({
      ...argument(output),
      ...(results[position] ?? { role: 'output', target: '' }),
    })),
    facts: factsOf(program),
  };
}

function factsOf(program: JsonObject): string[] {
  const version = objectOf(program.schema_version);
  const opsets = Object.entries(objectOf(program.opset_version)).map(([name, number]) => `${name} ${number}`);
  return [
    ...(version.major === undefined ? [] : [`schema ${version.major}.${version.minor ?? 0}`]),
    ...(typeof program.torch_version === 'string' ? [`torch ${program.torch_version}`] : []),
    ...(opsets.length === 0 ? [] : [`opset ${opsets.join(', ')}`]),
  ];
}

function nodeOf(node: JsonObject, types: ValueTypes, depth: number): ExportedNode {
  const inputs = arrayOf(node.inputs).map((input) => {
    const { name, arg, kind } = objectOf(input);
    const { text, uses } = argument(arg);
    // Kind 2: a keyword argument.
    return { text: kind === 2 && typeof name === 'string' ? `${name}=${text}` : text, uses };
  });
  const outputs = arrayOf(node.outputs).flatMap((output) => argument(output).uses);
  return {
    target: textOf(node.target, '?'),
    outputs,
    types: outputs.map((name) => types.of(name)),
    inputs: inputs.map(({ text }) => text),
    uses: inputs.flatMap(({ uses }) => uses),
    module: moduleOf(textOf(objectOf(node.metadata).nn_module_stack, '')),
    graphs: depth > MAX_DEPTH ? [] : arrayOf(node.inputs).flatMap((input) => innerGraphs(input, depth)),
  };
}

function innerGraphs(input: unknown, depth: number): InnerGraph[] {
  const held = objectOf(objectOf(objectOf(input).arg).as_graph);
  if (held.graph === undefined) return [];
  const graph = objectOf(held.graph);
  const types = new ValueTypes(graph);
  return [
    {
      name: textOf(held.name, ''),
      inputs: arrayOf(graph.inputs).map((value) => argument(value).text),
      nodes: arrayOf(graph.nodes).map((node) => nodeOf(objectOf(node), types, depth + 1)),
      outputs: arrayOf(graph.outputs).map((value) => argument(value).text),
    },
  ];
}

/** `L__self__,,Net;L__self__fc,fc,torch.nn.modules.linear.Linear` → `fc`. */
function moduleOf(stack: string): string {
  return stack.split(';').at(-1)?.split(',')[1] ?? '';
}

/** The role of an input or output in the signature, with the name of its value. */
function roleOf(spec: JsonObject): [name: string, { role: string; target: string }] {
  const [kind, value] = Object.entries(spec)[0] ?? ['', {}];
  const described = objectOf(value);
  const target = [described.parameter_name, described.buffer_name, described.tensor_constant_name]
    .concat([described.custom_obj_name, described.user_input_name])
    .find((name) => typeof name === 'string');
  const role = kind.replace(/^user_/, '').replaceAll('_', ' ');
  const { text } = argument('name' in objectOf(described.arg) ? { as_tensor: described.arg } : described.arg);
  return [text, { role, target: typeof target === 'string' ? target : '' }];
}

interface Shown {
  readonly text: string;
  readonly uses: readonly string[];
}

const MAX_DEPTH = 20;

/** An Argument of the schema: an object with one key, which says what the value is. */
function argument(value: unknown, depth = 0): Shown {
  const [kind, held] = Object.entries(objectOf(value))[0] ?? ['', undefined];
  if (depth > MAX_DEPTH) return { text: '…', uses: [] };
  switch (kind) {
    case 'as_none':
      return { text: 'None', uses: [] };
    case 'as_tensor':
    case 'as_sym_int':
    case 'as_sym_float':
    case 'as_sym_bool':
    case 'as_custom_obj':
      return named(held);
    case 'as_optional_tensor':
      return argument(held, depth + 1);
    case 'as_tensors':
    case 'as_sym_ints':
    case 'as_sym_floats':
    case 'as_sym_bools':
      return listed(arrayOf(held).map(named));
    case 'as_optional_tensors':
    case 'as_nested_tensors':
      return listed(
        arrayOf(held).map((item) => argument(Array.isArray(item) ? { as_tensors: item } : item, depth + 1)),
      );
    case 'as_int':
    case 'as_float':
    case 'as_bool':
    case 'as_string':
    case 'as_operator':
      return { text: literal(held), uses: [] };
    case 'as_ints':
    case 'as_floats':
    case 'as_bools':
    case 'as_strings':
      return { text: `[${arrayOf(held).map(literal).join(', ')}]`, uses: [] };
    case 'as_scalar_type':
      return { text: SCALAR_TYPES[Number(held)] ?? `dtype ${literal(held)}`, uses: [] };
    case 'as_device':
      return { text: `device(${textOf(objectOf(held).type, '?')})`, uses: [] };
    case 'as_layout':
    case 'as_memory_format':
      return { text: `${kind.slice(3)} ${literal(held)}`, uses: [] };
    case 'as_graph':
      return { text: `graph ${textOf(objectOf(held).name, '')}`, uses: [] };
    default:
      return { text: JSON.stringify(value)?.slice(0, 200) ?? '?', uses: [] };
  }
}

/** A value by its name; a SymIntArgument is a name or a number. */
function named(value: unknown): Shown {
  const held = objectOf(value);
  const name = held.name ?? held.as_name;
  if (typeof name === 'string') return { text: name, uses: [name] };
  return { text: literal(held.as_int ?? held.as_float ?? held.as_bool), uses: [] };
}

function listed(items: readonly Shown[]): Shown {
  return { text: `[${items.map(({ text }) => text).join(', ')}]`, uses: items.flatMap(({ uses }) => uses) };
}

/** The largest int64, which stands for `:` in a slice, is too large for JSON.parse to keep exactly. */
const INT64_END = 2 ** 63;

function literal(value: unknown): string {
  if (value === INT64_END) return '9223372036854775807';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return typeof value === 'string' ? JSON.stringify(value) : String(value ?? '?');
}

/** The declared type of a value: `float32[5, 3]`, `int`. */
class ValueTypes {
  readonly #tensors: JsonObject;
  readonly #others: readonly (readonly [string, JsonObject])[];

  constructor(graph: JsonObject) {
    this.#tensors = objectOf(graph.tensor_values);
    this.#others = [
      ['int', objectOf(graph.sym_int_values)],
      ['float', objectOf(graph.sym_float_values)],
      ['bool', objectOf(graph.sym_bool_values)],
    ];
  }

  of(name: string): string {
    if (Object.hasOwn(this.#tensors, name)) {
      const meta = objectOf(this.#tensors[name]);
      const described = 'dtype' in meta ? meta : objectOf(meta.meta);
      const dtype = SCALAR_TYPES[numberOf(described.dtype, 0)] ?? `dtype ${literal(described.dtype)}`;
      return `${dtype}[${arrayOf(described.sizes).map(extent).join(', ')}]`;
    }
    return this.#others.find(([, values]) => Object.hasOwn(values, name))?.[0] ?? '';
  }
}

/** A SymInt: a number, or an expression of the dimensions that may change. */
function extent(value: unknown): string {
  const held = objectOf(value);
  return held.as_int === undefined
    ? symbolicSize(textOf(objectOf(held.as_expr).expr_str, '?'))
    : String(numberOf(held.as_int, Number.NaN));
}
