/** Recognizes modules in a pickle: a `torch.nn.Module`, a GraphModule of torch.fx, an object of TorchScript. */
import { PyDict, PyObject, PyTuple, type Value } from './pickle/values.ts';

/** Whether a value is a pickled `torch.nn.Module`. */
export function isModule(value: Value | undefined): value is PyObject & { state: PyDict } {
  return value instanceof PyObject && isModuleBody(value.state);
}

/**
 * The attributes of a module, with `_parameters`, `_buffers` and `_modules`. A GraphModule is pickled as a call that has them as an
 * argument: `reduce_graph_module(body, …)`, `reduce_package_graph_module(importer, body, …)`, `_deserialize_graph_module(forward, body)`.
 */
export function moduleBody(value: Value | undefined): PyDict | undefined {
  if (!(value instanceof PyObject)) return undefined;
  if (isModuleBody(value.state)) return value.state;
  if (!(value.args instanceof PyTuple)) return undefined;
  return value.args.items.slice(0, GRAPH_MODULE_ARGUMENTS).find(isModuleBody);
}

const GRAPH_MODULE_ARGUMENTS = 4;

/** The attributes with the parts that `state_dict()` names. */
export const MODULE_PARTS: ReadonlySet<Value | undefined> = new Set(['_parameters', '_buffers', '_modules']);

function isModuleBody(value: Value | undefined): value is PyDict {
  return (
    value instanceof PyDict &&
    value.get('_parameters') instanceof PyDict &&
    value.get('_modules') instanceof PyDict
  );
}

/** An object of a TorchScript class, whose attributes are its parameters, buffers and submodules. */
export function isScriptObject(value: Value | undefined): value is PyObject & { state: Value } {
  return (
    value instanceof PyObject &&
    value.state !== undefined &&
    (value.className?.startsWith('__torch__.') ?? false)
  );
}

/** A C++ object that a Python module holds, such as the packed weights of a quantized layer. */
export function isPackedObject(value: Value | undefined): value is PyObject {
  return isScriptObject(value) || (value instanceof PyObject && value.className === 'torch.ScriptObject');
}
