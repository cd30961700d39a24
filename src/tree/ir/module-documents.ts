/** module_tree.txt, .json and .dot. They are made in slices: a model of 100,000 tensors has megabytes of text. */
import { numel, type Tensor } from '../../checkpoint/tensor.ts';
import { DocumentWriter } from '../document-writer.ts';
import { DotWriter } from './dot.ts';
import type { ModuleNode, ModuleTensor } from './module-tree.ts';

/** Yields between its parts, and returns the document. */
type Slices = Generator<void, Uint8Array>;

export function* treeText(title: string, root: ModuleNode): Slices {
  const document = new DocumentWriter('text');
  const totals = yield* totalsOf(root);
  document.line(
    `# ${title}: ${counted(totals.parameters, 'parameter')} in ${counted(totals.tensors, 'tensor')} of ${counted(totals.modules, 'module')}`,
  );
  document.line(headOf(root));
  yield* branches(root, '', document);
  return yield* document.bytes('# The tree goes on; it is too long to be shown.');
}

function* branches(node: ModuleNode, indent: string, document: DocumentWriter): Generator<void, void> {
  const last = node.tensors.length + node.modules.length - 1;
  for (const [index, tensor] of node.tensors.entries()) {
    document.line(`${indent}${index === last ? '└─ ' : '├─ '}${tensorText(tensor)}`);
    yield;
  }
  for (const [index, module] of node.modules.entries()) {
    const isLast = node.tensors.length + index === last;
    document.line(`${indent}${isLast ? '└─ ' : '├─ '}${headOf(module)}`);
    yield;
    yield* branches(module, `${indent}${isLast ? '   ' : '│  '}`, document);
  }
}

/** `conv1  Conv2d(3, 64, kernel_size=(7, 7))`. */
function headOf(node: ModuleNode): string {
  const name = node.path === '' ? '(root)' : node.name;
  const type = classOf(node);
  const same = node.same === undefined ? '' : `  the same as ${node.same === '' ? '(root)' : node.same}`;
  return `${name}${type === '' ? '' : `  ${type}`}${same}`;
}

function classOf({ className, extra }: ModuleNode): string {
  if (className === undefined) return '';
  const oneLine = extra.includes('\n') ? '…' : extra;
  return `${className.slice(className.lastIndexOf('.') + 1)}(${oneLine})`;
}

function tensorText({ name, tensor, parameter }: ModuleTensor): string {
  return `${name}  ${tensor.dtype} [${tensor.shape.join(', ')}]  ${parameter ? 'parameter' : 'buffer'}`;
}

/** An object with one module in each line. */
export function* treeJson(title: string, root: ModuleNode): Slices {
  const document = new DocumentWriter('json');
  const totals = yield* totalsOf(root);
  document.line(
    `{"file": ${JSON.stringify(title)}, "parameters": ${totals.parameters}, "tensors": ${totals.tensors},`,
  );
  document.line('"modules": [');
  let first = true;
  for (const node of walk(root)) {
    if (!first) document.line(',');
    first = false;
    yield* moduleJson(node, document);
    if (document.full) return Buffer.from('{"omitted": "the tree is too long to be shown"}\n');
    yield;
  }
  document.line();
  document.line(']}');
  return yield* document.bytes('');
}

/** One module, in parts: it may have a hundred thousand tensors. */
function* moduleJson(node: ModuleNode, document: DocumentWriter): Generator<void, void> {
  const { path, className, extra, tensors, modules, same } = node;
  const described = {
    path,
    class: className ?? null,
    ...(extra === '' ? {} : { extra }),
    same_as: same,
  };
  document.part(`${JSON.stringify(described).slice(0, -1)},"tensors":[`);
  for (const [index, { name, tensor, parameter }] of tensors.entries()) {
    const own = JSON.stringify({ name, dtype: tensor.dtype, shape: tensor.shape, parameter });
    document.part(index === 0 ? own : `,${own}`);
    yield;
  }
  document.part('],"modules":[');
  for (const [index, { name }] of modules.entries()) {
    document.part(index === 0 ? JSON.stringify(name) : `,${JSON.stringify(name)}`);
    yield;
  }
  document.part(']}');
}

export function* treeDot(title: string, root: ModuleNode): Slices {
  const dot = new DotWriter(title);
  dot.attributes({ rankdir: 'LR' }, 'graph');
  const ids = new Map<string, string>();
  for (const node of walk(root)) {
    if (dot.full) break;
    const id = `m${ids.size}`;
    ids.set(node.path, id);
    const name = node.path === '' ? '(root)' : node.name;
    const tensors = node.tensors.map(({ name: own, tensor }) => `${own} [${tensor.shape.join(', ')}]`);
    dot.node(
      id,
      [name, classOf(node), ...tensors.slice(0, 20), ...(tensors.length > 20 ? ['…'] : [])].filter(Boolean),
    );
    const parent = ids.get(node.path.slice(0, Math.max(0, node.path.length - node.name.length - 1)));
    if (parent !== undefined && parent !== id) dot.edge(parent, id);
    const same = node.same === undefined ? undefined : ids.get(node.same);
    if (same !== undefined) dot.edge(id, same, { style: 'dashed' });
    yield;
  }
  return yield* dot.bytes();
}

function* walk(root: ModuleNode): Generator<ModuleNode, void> {
  yield root;
  for (const module of root.modules) yield* walk(module);
}

interface Totals {
  /** Elements of the parameters; tied parameters count once. */
  readonly parameters: number;
  readonly tensors: number;
  readonly modules: number;
}

function* totalsOf(root: ModuleNode): Generator<void, Totals> {
  const seen = new Set<Tensor>();
  let parameters = 0;
  let tensors = 0;
  let modules = 0;
  for (const node of walk(root)) {
    modules++;
    tensors += node.tensors.length;
    for (const { tensor, parameter } of node.tensors) {
      if (parameter && !seen.has(tensor)) parameters += numel(tensor);
      seen.add(tensor);
    }
    yield;
  }
  return { parameters, tensors, modules };
}

function counted(count: number, one: string): string {
  return `${count.toLocaleString('en-US')} ${one}${count === 1 ? '' : 's'}`;
}
