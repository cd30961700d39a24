import { PyObject, type Value } from '../pickle/values.ts';

/**
 * A tensor that torch makes of other tensors: a sparse or nested one, or an instance of a tensor subclass. Its parts are values of the
 * object tree like any other; that it is a tensor itself decides what they are called.
 */
export class TensorObject extends PyObject {}

/** What `nn.Parameter` was put around, when that is no plain tensor: the first argument of `_rebuild_parameter`. */
export function wrappedByParameter(value: Value): Value | undefined {
  if (!(value instanceof PyObject) || value instanceof TensorObject) return undefined;
  if (!PARAMETERS.has(value.className ?? '')) return undefined;
  return typeof value.args === 'object' && value.args?.type === 'tuple' ? value.args.items[0] : undefined;
}

const PARAMETERS: ReadonlySet<string> = new Set([
  'torch._utils._rebuild_parameter',
  'torch._utils._rebuild_parameter_with_state',
  'torch.nn.parameter.Parameter',
  'torch.nn.parameter.Buffer',
]);
