/**
 * /sys/model_str of a file without a module: the state dict as nested modules, in the style of `str(model)`, with dtypes and shapes in the
 * place of torch's layer arguments.
 */

import type { ModelTensor } from '../checkpoint/model.ts';
import type { Tensor } from '../checkpoint/tensor.ts';
import { visible } from '../visible-text.ts';
import { DocumentWriter } from './document-writer.ts';

interface Module {
  readonly modules: Map<string, Module>;
  readonly tensors: { readonly leaf: string; readonly tensor: Tensor }[];
}

/** Longer than anybody reads; 100,000 tensors take about 8 million characters. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

/** Yields between its lines. */
export function* outlineInSlices(
  title: string,
  tensors: readonly ModelTensor[],
): Generator<void, Uint8Array> {
  if (tensors.length === 0) return Buffer.from(`${visible(title)}()\n`);
  const root: Module = { modules: new Map(), tensors: [] };
  let left = MAX_CHARACTERS;
  let taken = 0;
  for (const { name, tensor } of tensors) {
    // A line that does not fit is not even made.
    left -= name.length;
    if (left < 0) break;
    taken++;
    const path = name.split('.');
    const leaf = path.pop() ?? name;
    let module = root;
    for (const part of path.slice(0, MAX_INDENT)) {
      let next = module.modules.get(part);
      if (next === undefined) {
        next = { modules: new Map(), tensors: [] };
        module.modules.set(part, next);
      }
      module = next;
    }
    if (path.length < MAX_INDENT) module.tensors.push({ leaf, tensor });
    yield;
  }
  const lines = new DocumentWriter('text', MAX_CHARACTERS);
  lines.line(`${title}(`);
  yield* print(root, 1, lines);
  lines.line(')');
  const rest = 'The outline goes on; it is too long to be shown.';
  if (taken < tensors.length) lines.last(rest);
  return yield* lines.bytes(rest);
}

/** Deeper modules are not printed: a hostile name with thousands of dots must not make megabytes of indentation. */
const MAX_INDENT = 64;

function* print(module: Module, depth: number, lines: DocumentWriter): Generator<void, void> {
  const indent = '  '.repeat(Math.min(depth, MAX_INDENT));
  for (const { leaf, tensor } of module.tensors) {
    lines.line(`${indent}(${leaf}): ${tensor.dtype} [${tensor.shape.join(', ')}]`);
    yield;
  }
  for (const [name, child] of module.modules) {
    if (lines.full) return;
    lines.line(`${indent}(${name}): (`);
    if (depth < MAX_INDENT) yield* print(child, depth + 1, lines);
    else lines.line(`${indent}  …`);
    lines.line(`${indent})`);
  }
}
