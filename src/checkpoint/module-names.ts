/** What the tensors of a pickled module are called: the names of torch's `state_dict()`. */
import { PyDict, PyObject, PySet, type Value } from './pickle/values.ts';
import type { Tensor } from './tensor.ts';
import { isContainer, isTensor, keyText, sizeOf, visitParts } from './value-children.ts';

const MAX_DEPTH = 500;
/** Parts looked at and characters of names, with what each name and each module takes besides; 150,000 tensors take some 22 million. */
const NAMING_WORK = 24_000_000;
const NAME_COST = 48;
const MODULE_COST = 16;

/** What naming may cost. Modules that share parts may have exponentially many names: what is too much has none. */
export class NamingWork {
  #left = NAMING_WORK;

  /** Whether nothing is left. */
  get spent(): boolean {
    return this.#left <= 0;
  }

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
        if (this.#work.spent) break;
        if (isModule(child)) this.module(child, `${prefix}${keyText(key)}.`);
      }
    });
  }

  /** Packed parameters of quantized layers are numbered parts. */
  script(value: Value, name: string): void {
    if (isTensor(value)) this.#add(name, value);
    if (!isContainer(value)) return;
    this.#inside(value, sizeOf(value), () => {
      visitParts(value, (step, child) => {
        if (isJitList(child) || this.#work.spent) return;
        const part = keyText(step);
        const added = part === '' || part === '<state>' || /^<arg\d+>$/.test(part) ? '' : part;
        this.script(child, added === '' || name === '' ? name + added : `${name}.${added}`);
      });
    });
  }

  #add(name: string, tensor: Tensor): void {
    if (this.#work.spend(NAME_COST + name.length)) this.names.set(name, tensor);
  }

  /** Runs `visit` unless it is under way for this value, is too deep, or there was too much. */
  #inside(value: Value, size: number, visit: () => void): void {
    if (!this.#work.spend(size + MODULE_COST) || this.#open.has(value) || this.#open.size > MAX_DEPTH) return;
    this.#open.add(value);
    visit();
    this.#open.delete(value);
  }
}

function entriesOf(value: Value | undefined): PyDict['entries'] {
  return value instanceof PyDict ? value.entries : [];
}

/** A list attribute of a script module, e.g. an LSTM's `_flat_weights`: it repeats parameters that have names. */
function isJitList(value: Value): boolean {
  return value instanceof PyObject && (value.className?.startsWith('torch.jit._pickle.') ?? false);
}
