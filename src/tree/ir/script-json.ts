/** graph.json of TorchScript: the contents of graph.txt for programs. Each class, function and module has one line. */
import { DocumentWriter } from '../document-writer.ts';
import type { MethodGraph } from './script/graph.ts';
import { kindOf, type ScriptProgram } from './script-program.ts';

export function scriptJson({ source, declarations, graphs }: ScriptProgram): string {
  const lists: [string, object[]][] = [
    ['modules', source.modules.map(({ path, className }) => ({ path, class: className }))],
    [
      'classes',
      declarations.classes.map(
        ({ qualified, file, line, parameters, buffers, attributes, base, ...rest }) => ({
          name: qualified,
          kind: kindOf({ qualified, file, line, parameters, buffers, attributes, base, ...rest }),
          file: `code/${file}`,
          line,
          parameters,
          buffers,
          attributes,
          methods: rest.methods.map(({ qualified: method }) => method),
        }),
      ),
    ],
    ['graphs', graphs.map(graphJson)],
  ];
  const document = new DocumentWriter('json');
  document.line('{');
  document.line(`"format": "torchscript",`);
  document.line(`"file": ${JSON.stringify(source.name)},`);
  document.line(`"lines_kept_as_text": ${declarations.kept},`);
  for (const [index, [name, items]] of lists.entries()) {
    document.line(`${JSON.stringify(name)}: [`);
    for (const [at, item] of items.entries()) {
      document.line(`${JSON.stringify(item)}${at + 1 < items.length ? ',' : ''}`);
      // A part of a JSON document is useless.
      if (document.full) return `{"format": "torchscript", "omitted": "the graph is too long to be shown"}\n`;
    }
    document.line(index + 1 < lists.length ? '],' : ']');
  }
  document.line('}');
  return document.text('');
}

function graphJson({ declared, owner, nodes }: MethodGraph): object {
  const { qualified, file, line, parameters, returns } = declared;
  return {
    name: qualified,
    class: owner?.qualified,
    file: `code/${file}`,
    line,
    arguments: parameters.map(({ name, type, value }) => ({
      name,
      type: type === '' ? null : type,
      default: value,
    })),
    returns: returns === '' ? null : returns,
    nodes: nodes.map((node) => ({
      kind: node.kind,
      submodule: node.submodule,
      target: node.target,
      reaches: node.reaches,
      outputs: node.outputs,
      type: node.type ?? null,
      inputs: node.inputs,
      sources: node.sources,
      line: node.line,
      depth: node.depth,
    })),
  };
}
