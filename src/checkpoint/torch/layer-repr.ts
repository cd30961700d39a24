/**
 * What `extra_repr()` of torch's layers prints, as of torch 2.13: the part of `str(model)` between a layer's parentheses.
 * A rule is a template whose `{name}` is the attribute as `str()` prints it and `{name!r}` as `repr()` does, and whose
 * `[…]` is left out under a condition; or a function where torch's own is one.
 */

import { visible } from '../../visible-text.ts';
import { floatRepr, valueRepr } from '../pickle/python-repr.ts';
import { PyDict, PyFloat, type PyObject, PySet, PyTuple, type Value } from '../pickle/values.ts';
import type { Tensor } from '../tensor.ts';
import { isTensor } from '../value-children.ts';
import { tensorTypeName } from './dtype-names.ts';

/** The attributes of one pickled module. */
export class ModuleAttributes {
  readonly state: PyDict;

  constructor(module: PyObject & { state: PyDict }) {
    this.state = module.state;
  }

  /** undefined when there is no such attribute. */
  get(name: string): Value | undefined {
    const own = this.state.get(name);
    if (own !== undefined) return own;
    for (const group of ['_parameters', '_buffers', '_modules']) {
      const found = this.state.get(group);
      const value = found instanceof PyDict ? found.get(name) : undefined;
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** An attribute as `str()` prints it, on one line. Throws MissingAttribute, as Python would. */
  str(name: string): string {
    const value = this.#require(name);
    return typeof value === 'string' ? visible(value) : valueRepr(value);
  }

  repr(name: string): string {
    return valueRepr(this.#require(name));
  }

  /** Whether an attribute is there and not None. */
  has(name: string): boolean {
    const value = this.get(name);
    return value !== undefined && value !== null;
  }

  isTrue(name: string): boolean {
    return this.get(name) === true;
  }

  /** Whether an attribute equals a number; 2 and 2.0 do. */
  equals(name: string, expected: number): boolean {
    const value = this.get(name);
    return value instanceof PyFloat ? value.value === expected : value === expected;
  }

  /** Whether an attribute is a tuple of nothing but `expected`. */
  isFilledWith(name: string, expected: number): boolean {
    const value = this.get(name);
    return value instanceof PyTuple && value.items.every((item) => item === expected);
  }

  #require(name: string): Value {
    const value = this.get(name);
    if (value === undefined) throw new MissingAttribute(name);
    return value;
  }
}

/** A module whose state is not what its class has: it is printed without its arguments. */
export class MissingAttribute extends Error {}

type Rule = (module: ModuleAttributes) => string;

/** `extra_repr()` of a module, or undefined for a class that is not known to have one. */
export function extraRepr(className: string, module: ModuleAttributes): string | undefined {
  const at = className.lastIndexOf('.');
  const name = className.slice(at + 1);
  const rule = className.startsWith('torch.nn.modules.') ? LAYERS.get(name) : OTHERS.get(className);
  const general = rule ?? transformersNorm(className);
  if (general === undefined) return undefined;
  try {
    return general(module);
  } catch (cause) {
    if (cause instanceof MissingAttribute) return undefined;
    throw cause;
  }
}

/** Fills `{name}` and `{name!r}`. */
function fill(template: string): Rule {
  return (module) =>
    template.replace(/\{(\w+)(!r)?\}/g, (_whole, name: string, repr?: string) =>
      repr === undefined ? module.str(name) : module.repr(name),
    );
}

/** The template, and `, inplace=True` when the layer is. */
function withInplace(template: string): Rule {
  const rule = fill(template);
  return (module) => {
    const parts = [rule(module), module.isTrue('inplace') ? 'inplace=True' : ''];
    return parts.filter((part) => part !== '').join(', ');
  };
}

function yesNo(flag: boolean): string {
  return flag ? 'True' : 'False';
}

const linear: Rule = (module) =>
  `in_features=${module.str('in_features')}, out_features=${module.str('out_features')}, bias=${yesNo(module.has('bias'))}`;

const bilinear: Rule = (module) =>
  `in1_features=${module.str('in1_features')}, in2_features=${module.str('in2_features')}, out_features=${module.str('out_features')}, bias=${yesNo(module.has('bias'))}`;

const convolution: Rule = (module) => {
  let text = fill('{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={stride}')(module);
  if (!module.isFilledWith('padding', 0)) text += `, padding=${module.str('padding')}`;
  if (!module.isFilledWith('dilation', 1)) text += `, dilation=${module.str('dilation')}`;
  if (!module.isFilledWith('output_padding', 0)) text += `, output_padding=${module.str('output_padding')}`;
  if (!module.equals('groups', 1)) text += `, groups=${module.str('groups')}`;
  if (!module.has('bias')) text += ', bias=False';
  const mode = module.get('padding_mode');
  if (mode !== undefined && mode !== 'zeros') text += `, padding_mode=${module.str('padding_mode')}`;
  return text;
};

const batchNorm: Rule = (module) =>
  `${fill('{num_features}, eps={eps}, momentum={momentum}, affine={affine}')(module)}, bias=${yesNo(module.has('bias'))}, track_running_stats=${module.str('track_running_stats')}`;

const layerNorm: Rule = (module) =>
  `${fill('{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}')(module)}, bias=${yesNo(module.has('bias'))}`;

const groupNorm: Rule = (module) =>
  `${fill('{num_groups}, {num_channels}, eps={eps}, affine={affine}')(module)}, bias=${yesNo(module.has('bias'))}`;

const recurrent: Rule = (module) => {
  let text = fill('{input_size}, {hidden_size}')(module);
  if (module.has('proj_size') && !module.equals('proj_size', 0))
    text += `, proj_size=${module.str('proj_size')}`;
  if (!module.equals('num_layers', 1)) text += `, num_layers=${module.str('num_layers')}`;
  if (!module.isTrue('bias')) text += `, bias=${module.str('bias')}`;
  if (module.get('batch_first') !== false) text += `, batch_first=${module.str('batch_first')}`;
  if (!module.equals('dropout', 0)) text += `, dropout=${module.str('dropout')}`;
  if (module.get('bidirectional') !== false) text += `, bidirectional=${module.str('bidirectional')}`;
  return text;
};

const recurrentCell: Rule = (module) => {
  let text = fill('{input_size}, {hidden_size}')(module);
  const bias = module.state.get('bias');
  if (bias !== undefined && bias !== true) text += `, bias=${module.str('bias')}`;
  const nonlinearity = module.state.get('nonlinearity');
  if (nonlinearity !== undefined && nonlinearity !== 'tanh')
    text += `, nonlinearity=${module.str('nonlinearity')}`;
  return text;
};

const embedding: Rule = (module) => {
  let text = fill('{num_embeddings}, {embedding_dim}')(module);
  if (module.has('padding_idx')) text += `, padding_idx=${module.str('padding_idx')}`;
  if (module.has('max_norm')) text += `, max_norm=${module.str('max_norm')}`;
  if (!module.equals('norm_type', 2)) text += `, norm_type=${module.str('norm_type')}`;
  if (module.get('scale_grad_by_freq') !== false)
    text += `, scale_grad_by_freq=${module.str('scale_grad_by_freq')}`;
  if (module.get('sparse') !== false) text += ', sparse=True';
  return text;
};

const embeddingBag: Rule = (module) => {
  let text = fill('{num_embeddings}, {embedding_dim}')(module);
  if (module.has('max_norm')) text += `, max_norm=${module.repr('max_norm')}`;
  if (!module.equals('norm_type', 2)) text += `, norm_type=${module.repr('norm_type')}`;
  if (module.get('scale_grad_by_freq') !== false)
    text += `, scale_grad_by_freq=${module.repr('scale_grad_by_freq')}`;
  text += `, mode=${module.repr('mode')}`;
  if (module.has('padding_idx')) text += `, padding_idx=${module.repr('padding_idx')}`;
  return text;
};

const upsample: Rule = (module) => {
  const size = module.has('scale_factor') ? 'scale_factor={scale_factor!r}' : 'size={size!r}';
  return fill(`${size}, mode={mode!r}`)(module);
};

const parameterList: Rule = (module) => {
  const size = module.get('_size');
  const parameters = module.get('_parameters');
  const names =
    typeof size === 'number'
      ? Array.from({ length: Math.min(size, 100_000) }, (_unused, index) => String(index))
      : parameters instanceof PyDict
        ? parameters.entries.map(([key]) => String(key))
        : [];
  return names
    .map((name) => parameterLine(name, module.get(name), (tensor) => `torch.${tensor.dtype}`))
    .join('\n');
};

const parameterDict: Rule = (module) => {
  const listed = module.get('_keys');
  const parameters = module.get('_parameters');
  const keys =
    listed instanceof PyDict
      ? listed.entries.map(([key]) => key)
      : listed instanceof PySet
        ? listed.items
        : parameters instanceof PyDict
          ? parameters.entries.map(([key]) => key)
          : [];
  return keys
    .map((key) => parameterLine(visible(String(key)), module.get(String(key)), typeNameOf))
    .join('\n');
};

function parameterLine(name: string, value: Value | undefined, typeName: (tensor: Tensor) => string): string {
  if (!isTensor(value)) return `  (${name}): Object of type: ${pythonType(value)}`;
  const device = value.storage.location.startsWith('cuda') ? ` (${value.storage.location})` : '';
  const kind = value.isParameter ? 'Parameter' : 'Tensor';
  return `  (${name}): ${kind} containing: [${typeName(value)} of size ${value.shape.join('x')}${device}]`;
}

function pythonType(value: Value | undefined): string {
  if (value === undefined || value === null) return 'NoneType';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number' || typeof value === 'bigint') return 'int';
  return value.type;
}

/** `torch.FloatTensor`, `torch.cuda.HalfTensor`. */
function typeNameOf(tensor: Tensor): string {
  const device = tensor.storage.location.startsWith('cuda') ? 'cuda.' : '';
  return `torch.${device}${tensorTypeName(tensor.dtype)}`;
}

const maxPool = fill(
  'kernel_size={kernel_size}, stride={stride}, padding={padding}, dilation={dilation}, ceil_mode={ceil_mode}',
);
const averagePool = fill('kernel_size={kernel_size}, stride={stride}, padding={padding}');
const powerPool = fill(
  'norm_type={norm_type}, kernel_size={kernel_size}, stride={stride}, ceil_mode={ceil_mode}',
);
const adaptivePool = fill('output_size={output_size}');
const dropout = fill('p={p}, inplace={inplace}');
const padding = fill('{padding}');
const constantPadding = fill('padding={padding}, value={value}');
const softmax = fill('dim={dim}');
const inplaceOnly = withInplace('');
const responseNorm = fill('{size}, alpha={alpha}, beta={beta}, k={k}');

/** Layers of torch.nn.modules by class. */
const LAYERS: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['Linear', linear],
  ['NonDynamicallyQuantizableLinear', linear],
  ['_LinearWithBias', linear],
  ['LazyLinear', linear],
  ['Bilinear', bilinear],
  ...named(dimensional('Conv'), convolution),
  ...named(dimensional('ConvTranspose'), convolution),
  ...named(dimensional('LazyConv'), convolution),
  ...named(dimensional('LazyConvTranspose'), convolution),
  ...named(dimensional('BatchNorm'), batchNorm),
  ...named(dimensional('LazyBatchNorm'), batchNorm),
  ...named(dimensional('InstanceNorm'), batchNorm),
  ...named(dimensional('LazyInstanceNorm'), batchNorm),
  ['SyncBatchNorm', batchNorm],
  ['LayerNorm', layerNorm],
  ['GroupNorm', groupNorm],
  ['RMSNorm', fill('{normalized_shape}, eps={eps}, elementwise_affine={elementwise_affine}')],
  ['LocalResponseNorm', responseNorm],
  ['CrossMapLRN2d', responseNorm],
  ['Embedding', embedding],
  ['EmbeddingBag', embeddingBag],
  ...named(['RNN', 'LSTM', 'GRU', 'RNNBase'], recurrent),
  ...named(['RNNCell', 'LSTMCell', 'GRUCell'], recurrentCell),
  ...named(['Dropout', ...dimensional('Dropout'), 'AlphaDropout', 'FeatureAlphaDropout'], dropout),
  ...named(['ReLU', 'ReLU6', 'SiLU', 'Mish', 'SELU'], inplaceOnly),
  ['Threshold', withInplace('threshold={threshold}, value={value}')],
  ['RReLU', withInplace('lower={lower}, upper={upper}')],
  ['Hardtanh', withInplace('min_val={min_val}, max_val={max_val}')],
  ['ELU', withInplace('alpha={alpha}')],
  ['CELU', withInplace('alpha={alpha}')],
  ['LeakyReLU', withInplace('negative_slope={negative_slope}')],
  ['GLU', softmax],
  ['GELU', fill('approximate={approximate!r}')],
  ['Hardshrink', fill('{lambd}')],
  ['Softshrink', fill('{lambd}')],
  ['Softplus', fill('beta={beta}, threshold={threshold}')],
  ['PReLU', fill('num_parameters={num_parameters}')],
  ...named(['Softmin', 'Softmax', 'LogSoftmax'], softmax),
  ...named(dimensional('MaxPool'), maxPool),
  ...named(dimensional('MaxUnpool'), averagePool),
  ...named(dimensional('AvgPool'), averagePool),
  ...named(dimensional('LPPool'), powerPool),
  ...named(dimensional('AdaptiveMaxPool'), adaptivePool),
  ...named(dimensional('AdaptiveAvgPool'), adaptivePool),
  ['Flatten', fill('start_dim={start_dim}, end_dim={end_dim}')],
  ['Unflatten', fill('dim={dim}, unflattened_size={unflattened_size}')],
  [
    'Fold',
    fill(
      'output_size={output_size}, kernel_size={kernel_size}, dilation={dilation}, padding={padding}, stride={stride}',
    ),
  ],
  ['Unfold', fill('kernel_size={kernel_size}, dilation={dilation}, padding={padding}, stride={stride}')],
  ...named(dimensional('ConstantPad'), constantPadding),
  ...named(dimensional('ZeroPad'), padding),
  ...named(dimensional('CircularPad'), padding),
  ...named(dimensional('ReflectionPad'), padding),
  ...named(dimensional('ReplicationPad'), padding),
  ['PixelShuffle', fill('upscale_factor={upscale_factor}')],
  ['PixelUnshuffle', fill('downscale_factor={downscale_factor}')],
  ['ChannelShuffle', fill('groups={groups}')],
  ...named(['Upsample', 'UpsamplingNearest2d', 'UpsamplingBilinear2d'], upsample),
  ['ParameterList', parameterList],
  ['ParameterDict', parameterDict],
]);

/** Layers of other libraries that pickled models often hold. */
const OTHERS: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['torchvision.models.convnext.LayerNorm2d', layerNorm],
  ['torchvision.ops.stochastic_depth.StochasticDepth', fill('p={p}, mode={mode}')],
  [
    'torchvision.ops.misc.FrozenBatchNorm2d',
    (module) => `${sizeOf(module.get('weight'))}, eps=${module.str('eps')}`,
  ],
  ['transformers.pytorch_utils.Conv1D', fill('nf={nf}, nx={nx}')],
  ['timm.layers.drop.DropPath', (module) => `drop_prob=${threeDigits(module.get('drop_prob'))}`],
]);

/** The RMS norms of transformers print their weight's shape. */
function transformersNorm(className: string): Rule | undefined {
  if (!/^transformers\.models\..*RMSNorm$/.test(className)) return undefined;
  return (module) => {
    const weight = module.get('weight');
    if (!isTensor(weight)) throw new MissingAttribute('weight');
    const shape = valueRepr(new PyTuple([...weight.shape]));
    return `${shape}, eps=${module.str('variance_epsilon')}`;
  };
}

function sizeOf(value: Value | undefined): string {
  if (!isTensor(value)) throw new MissingAttribute('weight');
  return String(value.shape[0]);
}

function threeDigits(value: Value | undefined): string {
  if (value instanceof PyFloat) return Number(floatRepr(value.value)).toFixed(3);
  if (typeof value === 'number') return value.toFixed(3);
  throw new MissingAttribute('drop_prob');
}

function dimensional(name: string): string[] {
  return ['1d', '2d', '3d'].map((dimension) => name + dimension);
}

function named(names: readonly string[], rule: Rule): [string, Rule][] {
  return names.map((name) => [name, rule]);
}
