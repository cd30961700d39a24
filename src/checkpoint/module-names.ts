/** What the tensors of a pickled module are called: the names of torch's `state_dict()`. */
import { PyDict, PyObject, PySet, type Value } from './pickle/values.ts';
import type { Tensor } from './tensor.ts';
import { type Container, children, isContainer, isTensor, keyText } from './value-children.ts';

const MAX_DEPTH = 500;
/** Parts looked at and characters of names; 100,000 tensors take some 10 million. */
const NAMING_WORK = 32_000_000;

/** What naming may cost. Modules that share parts may have exponentially many names: what is too much has none. */
export class NamingWork {
  #left = NAMING_WORK;

  /** Whether there was enough left. */
  spend(amount: number): boolean {
    this.#left -= amount;
    return this.#left > 0;
  }
}

/** Whether a value is a pickled `torch.nn.Module`. */
export function isModule(value: Value | undefined): value is PyObject & { state: PyDict } {
  return (
    value instanceof PyObject &&
    value.state instanceof PyDict &&
    value.state.get('_parameters') instanceof PyDict &&
    value.state.get('_modules') instanceof PyDict
  );
}

/** An object of a TorchScript class, whose attributes are its parameters, buffers and submodules alike. */
export function isScriptObject(value: Value | undefined): value is PyObject & { state: Value } {
  return (
    value instanceof PyObject &&
    value.state !== undefined &&
    (value.className?.startsWith('__torch__.') ?? false)
  );
}

/** Own parameters, own persistent buffers, then the children's; for a script module its attributes, dotted. */
export function moduleNames(module: PyObject, work = new NamingWork()): Map<string, Tensor> {
  const naming = new Naming(work);
  if (isModule(module)) naming.module(module, '');
  else naming.script(module, '');
  return naming.names;
}

class Naming {
  readonly names = new Map<string, Tensor>();
  readonly #work: NamingWork;
  readonly #open = new Set<Value>();

  constructor(work: NamingWork) {
    this.#work = work;
  }

  module(module: PyObject & { state: PyDict }, prefix: string): void {
    const { state } = module;
    const parameters = entriesOf(state.get('_parameters'));
    const buffers = entriesOf(state.get('_buffers'));
    const modules = entriesOf(state.get('_modules'));
    this.#inside(module, parameters.length + buffers.length + modules.length, () => {
      const transient = state.get('_non_persistent_buffers_set');
      const skipped = new Set(transient instanceof PySet ? transient.items : []);
      for (const [key, value] of parameters) {
        if (isTensor(value)) this.#add(prefix + keyText(key), value);
      }
      for (const [key, value] of buffers) {
        if (isTensor(value) && !skipped.has(key)) this.#add(prefix + keyText(key), value);
      }
      for (const [key, child] of modules) {
        if (isModule(child)) this.module(child, `${prefix}${keyText(key)}.`);
      }
    });
  }

  /** Packed parameters of quantized layers are numbered parts. */
  script(value: Value, name: string): void {
    if (isTensor(value)) this.#add(name, value);
    if (!isContainer(value)) return;
    this.#inside(value, sizeOf(value), () => {
      for (const [parts, child] of children(value)) {
        if (isJitList(child)) continue;
        const added = parts.filter((part) => part !== '<state>' && !/^<arg\d+>$/.test(part));
        this.script(child, [name, ...added].filter((part) => part !== '').join('.'));
      }
    });
  }

  #add(name: string, tensor: Tensor): void {
    if (this.#work.spend(name.length)) this.names.set(name, tensor);
  }

  /** Runs `visit` unless it is under way for this value, is too deep, or there was too much. */
  #inside(value: Value, size: number, visit: () => void): void {
    if (!this.#work.spend(size + 1) || this.#open.has(value) || this.#open.size > MAX_DEPTH) return;
    this.#open.add(value);
    visit();
    this.#open.delete(value);
  }
}

function entriesOf(value: Value | undefined): PyDict['entries'] {
  return value instanceof PyDict ? value.entries : [];
}

function sizeOf(value: Container): number {
  if (value instanceof PyDict) return value.entries.length;
  if (value instanceof PyObject)
    return (value.dictItems?.entries.length ?? 0) + (value.listItems?.length ?? 0);
  return value.items.length;
}

/** A list attribute of a script module, e.g. an LSTM's `_flat_weights`: it repeats parameters that have names. */
function isJitList(value: Value): boolean {
  return value instanceof PyObject && (value.className?.startsWith('torch.jit._pickle.') ?? false);
}
