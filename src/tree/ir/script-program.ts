/** A TorchScript archive as a program: its modules, and the graphs of its methods and functions. */
import type { ClassDeclaration, Declarations, SourceFile } from './script/declarations.ts';
import { readDeclarations } from './script/declarations.ts';
import { type MethodGraph, methodGraph, ProgramIndex } from './script/graph.ts';

/** A module of the model as it was saved: its path and its class. */
export interface ModuleInstance {
  /** Dotted; empty for the root. */
  readonly path: string;
  readonly className: string;
}

export interface ScriptSource {
  /** The archive's name, for titles. */
  readonly name: string;
  readonly files: readonly SourceFile[];
  readonly modules: readonly ModuleInstance[];
}

export interface ScriptProgram {
  readonly source: ScriptSource;
  readonly declarations: Declarations;
  readonly graphs: readonly MethodGraph[];
}

export function readProgram(source: ScriptSource): ScriptProgram {
  const declarations: Declarations = { classes: [], functions: [], kept: 0 };
  for (const file of source.files) readDeclarations(file, declarations);
  const index = new ProgramIndex(declarations);
  const graphs = [
    ...declarations.classes.flatMap((owner) =>
      owner.methods.map((method) => methodGraph(method, owner, index)),
    ),
    ...declarations.functions.map((declared) => methodGraph(declared, undefined, index)),
  ];
  return { source, declarations, graphs: inCallOrder(graphs, source) };
}

/** Methods that the root reaches come first, nearest first; then the others, in the order of the files. */
function inCallOrder(graphs: readonly MethodGraph[], { modules }: ScriptSource): MethodGraph[] {
  const byName = new Map(graphs.map((graph) => [graph.declared.qualified, graph]));
  const root = modules.find(({ path }) => path === '')?.className;
  const ordered = new Set(graphs.filter(({ owner }) => owner !== undefined && owner.qualified === root));
  for (const { nodes } of ordered) {
    for (const { reaches } of nodes) {
      const reached = reaches === undefined ? undefined : byName.get(reaches);
      if (reached !== undefined) ordered.add(reached);
    }
  }
  for (const graph of graphs) ordered.add(graph);
  return [...ordered];
}

/** The kind of a class, from its base class. */
export function kindOf({ base }: ClassDeclaration): string {
  switch (base) {
    case 'Module':
      return 'module';
    case 'Interface':
    case 'ModuleInterface':
      return 'interface';
    case 'NamedTuple':
      return 'namedtuple';
    case 'Enum':
      return 'enum';
    default:
      return 'class';
  }
}
