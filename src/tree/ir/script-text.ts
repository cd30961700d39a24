/**
 * graph.txt of TorchScript. Each node has a line: `%0 = self.conv.forward(x) : Tensor  -> __torch__.….Conv2d.forward`. `%N` is a result
 * without a name in the code; after `->` is the method of the archive's own code that the call reaches.
 */
import { DocumentWriter } from '../document-writer.ts';
import type { FunctionDeclaration } from './script/declarations.ts';
import type { GraphNode, MethodGraph } from './script/graph.ts';
import { kindOf, type ScriptProgram } from './script-program.ts';

export function scriptText(program: ScriptProgram): string {
  const { source, declarations, graphs } = program;
  const document = new DocumentWriter('text');
  const { classes, functions, kept } = declarations;
  document.line(
    `# ${source.name}: TorchScript, ${counted(source.modules.length, 'module')}, ${counted(classes.length, 'class', 'classes')}, ${counted(functions.length, 'function')}`,
  );
  if (kept > 0)
    document.line(`# ${counted(kept, 'line')} of the code could not be taken apart; they are text`);
  document.line();
  document.line('modules');
  const width = Math.min(60, Math.max(6, ...source.modules.slice(0, 10_000).map(({ path }) => path.length)));
  for (const { path, className } of source.modules) {
    document.line(`  ${(path === '' ? '(root)' : path).padEnd(width)}  ${className}`);
  }
  for (const declared of classes) {
    document.line();
    document.line(`${kindOf(declared)} ${declared.qualified}    # code/${declared.file}:${declared.line}`);
    for (const { name, type, value } of declared.attributes) {
      const role = declared.parameters.includes(name)
        ? '    # parameter'
        : declared.buffers.includes(name)
          ? '    # buffer'
          : '';
      document.line(`  ${name}: ${type}${value === undefined ? '' : ` = ${value}`}${role}`);
    }
  }
  for (const graph of graphs) writeGraph(graph, document);
  return document.text('# The graph goes on; it is too long to be shown.');
}

function writeGraph({ declared, nodes }: MethodGraph, document: DocumentWriter): void {
  document.line();
  document.line(
    `def ${declared.qualified}${signature(declared)}    # code/${declared.file}:${declared.line}`,
  );
  for (const node of nodes) {
    if (node.kind !== 'input') document.line(`${'  '.repeat(Math.min(node.depth, 50) + 1)}${nodeText(node)}`);
  }
}

function signature({ parameters, returns }: FunctionDeclaration): string {
  const list = parameters.map(({ name, type, value }) => {
    return `${name}${type === '' ? '' : `: ${type}`}${value === undefined ? '' : ` = ${value}`}`;
  });
  return `(${list.join(', ')})${returns === '' ? '' : ` -> ${returns}`}`;
}

function nodeText(node: GraphNode): string {
  const inputs = node.inputs.join(', ');
  const given = node.outputs.length === 0 ? '' : `${node.outputs.join(', ')} = `;
  const type = node.type === undefined ? '' : ` : ${node.type}`;
  const reaches = node.reaches === undefined ? '' : `    -> ${node.reaches}`;
  switch (node.kind) {
    case 'module': {
      const path = ['self', node.submodule].filter((part) => part !== '').join('.');
      return `${given}${path}.${node.target}(${inputs})${type}${reaches}`;
    }
    case 'function':
    case 'op':
    case 'construct':
      return `${given}${node.target}(${inputs})${type}${reaches}`;
    case 'attribute':
      return `${given}self.${node.target}${type}`;
    case 'set':
      return `${node.target} = ${inputs}${type}`;
    case 'value':
      return `${given}${inputs}${type}`;
    case 'return':
      return `return ${inputs}`;
    case 'block':
      return blockText(node, inputs);
    case 'input':
    case 'text':
      return node.target;
  }
}

function blockText({ target, outputs }: GraphNode, inputs: string): string {
  if (target === 'for') return `for ${outputs.join(', ')} in ${inputs}`;
  return inputs === '' ? target : `${target} ${inputs}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? one : many}`;
}
