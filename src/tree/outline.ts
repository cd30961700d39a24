/**
 * /sys/model_str of a file that holds no module: the state dict as nested modules in the manner of `str(model)`, with dtypes
 * and shapes where torch would print a layer's arguments.
 */

import { visible } from '../visible-text.ts';
import type { ModelTensor } from './model-tensors.ts';

interface Module {
  readonly modules: Map<string, Module>;
  readonly tensors: string[];
}

export function outline(title: string, tensors: readonly ModelTensor[]): string {
  const root: Module = { modules: new Map(), tensors: [] };
  for (const { name, tensor } of tensors) {
    const path = name.split('.');
    const leaf = path.pop() ?? name;
    let module = root;
    for (const part of path) {
      let next = module.modules.get(part);
      if (next === undefined) {
        next = { modules: new Map(), tensors: [] };
        module.modules.set(part, next);
      }
      module = next;
    }
    module.tensors.push(`(${visible(leaf)}): ${tensor.dtype} [${tensor.shape.join(', ')}]`);
  }
  const lines = [`${visible(title)}(`];
  print(root, 1, lines);
  lines.push(')');
  return lines.length === 2 ? `${visible(title)}()` : lines.join('\n');
}

/** Deeper modules are printed at this depth: a hostile name of 100,000 dots makes no megabytes of indentation. */
const MAX_INDENT = 64;

function print(module: Module, depth: number, lines: string[]): void {
  const indent = '  '.repeat(Math.min(depth, MAX_INDENT));
  for (const line of module.tensors) lines.push(indent + line);
  for (const [name, child] of module.modules) {
    lines.push(`${indent}(${visible(name)}): (`);
    if (depth < MAX_INDENT) print(child, depth + 1, lines);
    else lines.push(`${indent}  …`);
    lines.push(`${indent})`);
  }
}
