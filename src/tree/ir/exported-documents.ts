/** graph.txt and graph.dot of an exported program. */
import { DocumentWriter } from '../document-writer.ts';
import { DotWriter } from './dot.ts';
import type { ExportedGraph, ExportedInput, ExportedNode } from './exported-graph.ts';

export function exportedText(name: string, { inputs, nodes, outputs, facts }: ExportedGraph): string {
  const document = new DocumentWriter('text');
  document.line(`# ${name}: ${['exported program', ...facts].join(', ')}, ${nodes.length} nodes`);
  document.line();
  document.line('inputs');
  for (const input of inputs) document.line(`  ${inputText(input)}`);
  document.line();
  document.line('graph');
  writeNodes(nodes, '  ', document);
  document.line();
  document.line('outputs');
  for (const { text, role, target } of outputs) {
    document.line(`  ${text}  ${role}${target === '' ? '' : ` ${target}`}`);
  }
  return document.text('# The graph goes on; it is too long to be shown.');
}

function writeNodes(nodes: readonly ExportedNode[], indent: string, document: DocumentWriter): void {
  let module: string | undefined;
  for (const node of nodes) {
    if (node.module !== module) {
      document.line(`${indent}# ${node.module === '' ? '(root)' : node.module}`);
    }
    module = node.module;
    document.line(`${indent}${nodeText(node)}`);
    for (const { name, inputs, nodes: inner, outputs } of node.graphs) {
      document.line(`${indent}  ${name}(${inputs.join(', ')}):`);
      writeNodes(inner, `${indent}    `, document);
      document.line(`${indent}    return ${outputs.join(', ')}`);
    }
  }
}

function inputText({ name, type, role, target }: ExportedInput): string {
  return `${name}${type === '' ? '' : ` : ${type}`}  ${role}${target === '' ? '' : ` ${target}`}`;
}

function nodeText({ outputs, target, inputs, types }: ExportedNode): string {
  const given = outputs.length === 0 ? '' : `${outputs.join(', ')} = `;
  const known = types.some((type) => type !== '') ? ` : ${types.join(', ')}` : '';
  return `${given}${target}(${inputs.join(', ')})${known}`;
}

export function exportedDot(name: string, { inputs, nodes, outputs }: ExportedGraph): string {
  const dot = new DotWriter(name);
  const makers = new Map<string, string>();
  for (const [index, { name: value, type, role, target }] of inputs.entries()) {
    if (dot.full) break;
    const id = `i${index}`;
    makers.set(value, id);
    const colour = role === 'input' ? 'white' : 'lightgrey';
    dot.node(id, [target === '' ? value : target, type].filter(Boolean), {
      shape: 'ellipse',
      style: 'filled',
      fillcolor: colour,
    });
  }
  for (const [index, node] of nodes.entries()) {
    if (dot.full) break;
    const id = `n${index}`;
    dot.node(id, [node.target.replace(/^torch\.ops\./, ''), ...node.types, node.module].filter(Boolean));
    for (const used of new Set(node.uses)) link(dot, makers.get(used), id);
    for (const output of node.outputs) makers.set(output, id);
  }
  for (const [index, { role, target, uses }] of outputs.entries()) {
    if (dot.full) break;
    dot.node(`o${index}`, [target === '' ? role : target], { shape: 'ellipse' });
    for (const used of uses) link(dot, makers.get(used), `o${index}`);
  }
  return dot.text();
}

function link(dot: DotWriter, from: string | undefined, to: string): void {
  if (from !== undefined) dot.edge(from, to);
}
