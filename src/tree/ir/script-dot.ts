/**
 * graph.dot of TorchScript: each method is a box with its nodes, solid arrows follow the values, and dashed arrows lead from a call to the
 * method that it reaches. Methods that the model's root reaches are drawn; without a root, all methods.
 */
import { DotWriter } from './dot.ts';
import type { GraphNode, MethodGraph } from './script/graph.ts';
import type { ScriptProgram } from './script-program.ts';

const SHAPES: Readonly<Record<GraphNode['kind'], Readonly<Record<string, string>>>> = {
  module: { style: 'filled', fillcolor: 'lightblue' },
  function: { style: 'filled', fillcolor: 'lightyellow' },
  construct: { style: 'filled', fillcolor: 'lightyellow' },
  op: {},
  input: { shape: 'ellipse' },
  attribute: { shape: 'ellipse', style: 'filled', fillcolor: 'lightgrey' },
  set: { shape: 'ellipse', style: 'filled', fillcolor: 'lightgrey' },
  value: { style: 'rounded' },
  block: { shape: 'diamond' },
  return: { shape: 'ellipse' },
  text: { style: 'dotted' },
};

export function scriptDot({ source, graphs }: ScriptProgram): string {
  const dot = new DotWriter(source.name);
  const drawn = new Map(
    reached(graphs, source.modules[0]?.className).map((graph, index) => [
      graph.declared.qualified,
      { graph, index },
    ]),
  );
  const written = new Set<string>();
  for (const { graph, index } of drawn.values()) {
    if (dot.full) break;
    dot.cluster(`m${index}`, [graph.declared.qualified], () => {
      for (const [at, node] of graph.nodes.entries()) {
        if (dot.full) break;
        const id = `m${index}n${at}`;
        written.add(id);
        dot.node(id, labelOf(node), SHAPES[node.kind]);
      }
    });
  }
  for (const { graph, index } of drawn.values()) {
    for (const [at, node] of graph.nodes.entries()) {
      const id = `m${index}n${at}`;
      for (const from of node.sources) link(dot, written, `m${index}n${from}`, id);
      const callee = node.reaches === undefined ? undefined : drawn.get(node.reaches)?.index;
      if (callee !== undefined) link(dot, written, id, `m${callee}n0`, { style: 'dashed' });
    }
  }
  return dot.text();
}

function link(
  dot: DotWriter,
  written: ReadonlySet<string>,
  from: string,
  to: string,
  values: Readonly<Record<string, string>> = {},
): void {
  if (written.has(from) && written.has(to)) dot.edge(from, to, values);
}

function labelOf(node: GraphNode): string[] {
  const type = node.type === undefined ? [] : [node.type];
  switch (node.kind) {
    case 'module':
      return [`${node.submodule === '' ? 'self' : node.submodule}.${node.target}`, ...type];
    case 'value':
      return [node.inputs.join(', '), ...type];
    case 'return':
      return ['return'];
    case 'set':
      return [`${node.target} =`, ...type];
    case 'block':
      return [`${node.target} ${node.inputs.join(', ')}`.trim()];
    default:
      return [node.target, ...type];
  }
}

/** The methods of the root's class, and all methods that they reach. */
function reached(graphs: readonly MethodGraph[], root: string | undefined): readonly MethodGraph[] {
  const byName = new Map(graphs.map((graph) => [graph.declared.qualified, graph]));
  const found = new Set(graphs.filter(({ owner }) => owner !== undefined && owner.qualified === root));
  if (found.size === 0) return graphs;
  for (const { nodes } of found) {
    for (const { reaches } of nodes) {
      const graph = reaches === undefined ? undefined : byName.get(reaches);
      if (graph !== undefined) found.add(graph);
    }
  }
  return [...found];
}
