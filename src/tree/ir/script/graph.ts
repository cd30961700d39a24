/**
 * The graph of TorchScript code: for each method its nodes in the order of the code, with a node for each call, the function that it reaches,
 * and the nodes that its inputs come from. Types are those that the code declares; nothing is executed, and nothing is inferred beyond
 * declared types.
 *
 * The source of a value is computed for each block: an assignment in a branch may reach the code after the branch, so a value that both
 * branches assign has two sources.
 */
import type {
  BodyLine,
  ClassDeclaration,
  Declarations,
  FunctionDeclaration,
  Parameter,
} from './declarations.ts';
import { unquoted } from './declarations.ts';
import type { Argument, Expression } from './expressions.ts';
import { printExpression } from './print-expression.ts';

export type NodeKind =
  /** A method of a submodule or of the module itself. */
  | 'module'
  /** A function or method of the archive's code. */
  | 'function'
  /** An operator of torch, or a builtin. */
  | 'op'
  /** A class of the archive's code that is constructed. */
  | 'construct'
  /** An input of the method. */
  | 'input'
  /** An attribute that is read. */
  | 'attribute'
  /** An attribute that is set. */
  | 'set'
  /** A value without a call: a literal, a list, or another name of a value. */
  | 'value'
  /** if, for, while, else, …: the following nodes of greater depth are inside. */
  | 'block'
  | 'return'
  /** A line that the parser does not understand. */
  | 'text';

export interface GraphNode {
  readonly kind: NodeKind;
  readonly line: number;
  readonly depth: number;
  /** Its results: names of the code, or `%N` for a result without a name. */
  readonly outputs: readonly string[];
  /** The declared type; undefined if there is none. */
  readonly type: string | undefined;
  /** The path of the submodule from this module, empty for the module itself; only for the kind `module`. */
  readonly submodule?: string;
  /** `torch.relu`, `forward`, the attribute's name, or the word that begins a block. */
  readonly target: string;
  /** The qualified name of the method or function of this code that is called. */
  readonly reaches?: string;
  readonly inputs: readonly string[];
  /** Indices of the nodes that the inputs come from. */
  readonly sources: readonly number[];
}

export interface MethodGraph {
  readonly declared: FunctionDeclaration;
  /** undefined for a function. */
  readonly owner: ClassDeclaration | undefined;
  readonly nodes: readonly GraphNode[];
}

/** Names of the code, and what they mean. */
export class ProgramIndex {
  readonly classes = new Map<string, ClassDeclaration>();
  readonly functions = new Map<string, FunctionDeclaration>();

  constructor({ classes, functions }: Declarations) {
    for (const declared of classes) {
      this.classes.set(declared.qualified, declared);
      for (const method of declared.methods) this.functions.set(method.qualified, method);
    }
    for (const declared of functions) this.functions.set(declared.qualified, declared);
  }

  attribute(className: string | undefined, name: string): Parameter | undefined {
    if (className === undefined) return undefined;
    return this.classes.get(className)?.attributes.find((attribute) => attribute.name === name);
  }
}

export function methodGraph(
  declared: FunctionDeclaration,
  owner: ClassDeclaration | undefined,
  index: ProgramIndex,
): MethodGraph {
  return { declared, owner, nodes: new MethodReader(declared, owner, index).nodes };
}

/** The meaning of a name. */
interface Binding {
  readonly type: string | undefined;
  /** A module of this one, by its path. */
  readonly submodule?: string;
  /** The name of a function of the code. */
  readonly callee?: string;
  readonly sources: readonly number[];
  readonly block: number;
}

class MethodReader {
  readonly nodes: GraphNode[] = [];
  readonly #index: ProgramIndex;
  readonly #names = new Map<string, Binding>();
  /** The open blocks; each has a new number. */
  readonly #blocks = [0];
  /** The block around each block. */
  readonly #around: number[] = [-1];
  #line = 0;
  #depth = 0;
  #unnamed = 0;

  constructor(declared: FunctionDeclaration, owner: ClassDeclaration | undefined, index: ProgramIndex) {
    this.#index = index;
    this.#line = declared.line;
    for (const [position, { name, type }] of declared.parameters.entries()) {
      if (position === 0 && owner !== undefined) {
        this.#names.set(name, { type: owner.qualified, submodule: '', sources: [], block: 0 });
        continue;
      }
      const node = this.#add({ kind: 'input', target: name, outputs: [name], type: known(type), inputs: [] });
      this.#names.set(name, { type: known(type), sources: [node], block: 0 });
    }
    for (const line of declared.body) this.#read(line);
  }

  #read({ line, depth, statement }: BodyLine): void {
    this.#line = line;
    this.#enter(depth);
    switch (statement.kind) {
      case 'assign':
        this.#assign(statement.targets, statement.type, statement.value);
        break;
      case 'expression':
        if (statement.value.kind === 'call') this.#call(statement.value, []);
        else this.#value([], undefined, statement.value);
        break;
      case 'leave':
      case 'block': {
        const { word, value, kind } = statement;
        const inputs = value === undefined ? [] : [value];
        const shown = inputs.map((input) => this.#shown(input));
        const bound = kind === 'block' ? statement.bound : [];
        const node = this.#add({
          kind: kind === 'leave' && word === 'return' ? 'return' : 'block',
          target: word,
          outputs: bound.map((name) => printExpression(name)),
          type: undefined,
          inputs: shown.map(({ text }) => text),
          sources: shown.flatMap(({ sources }) => sources),
        });
        for (const name of bound) this.#bind(name, { type: undefined, sources: [node] });
        break;
      }
      case 'text':
        this.#add({ kind: 'text', target: statement.text, outputs: [], type: undefined, inputs: [] });
        break;
      case 'nothing':
        break;
    }
  }

  /** Blocks are numbered; a line of smaller depth ends the deeper ones, and a new word (`else`) starts another block. */
  #enter(depth: number): void {
    this.#depth = depth;
    while (this.#blocks.length > depth + 1) this.#blocks.pop();
    while (this.#blocks.length < depth + 1) {
      this.#around.push(this.#blocks.at(-1) ?? 0);
      this.#blocks.push(this.#around.length - 1);
    }
  }

  #assign(targets: readonly Expression[], annotated: string | undefined, value: Expression): void {
    const [only] = targets;
    const names = targets.map((target) => printExpression(target));
    if (targets.length === 1 && only?.kind === 'attribute') {
      const { text, sources } = this.#shown(value);
      const type = this.#index.attribute(this.#typeOf(only.of), only.name)?.type;
      this.#add({ kind: 'set', target: names.join(', '), outputs: [], type, inputs: [text], sources });
      return;
    }
    if (targets.length === 1 && only !== undefined) {
      const alias = this.#alias(value);
      if (alias !== undefined) {
        this.#bind(only, { ...alias, sources: [] });
        return;
      }
    }
    const made =
      value.kind === 'call' && !isGetattr(value)
        ? this.#call(value, names, annotated)
        : this.#value(names, annotated, value);
    const types = targets.length === 1 ? [made.type] : tupleTypes(made.type);
    targets.forEach((target, position) => {
      this.#bind(target, { type: types[position], sources: [made.node] });
    });
  }

  /** Names of modules and functions are not values: `conv = self.conv`, `_0 = __torch__.f`. */
  #alias(value: Expression): Pick<Binding, 'type' | 'submodule' | 'callee'> | undefined {
    const submodule = this.#submoduleOf(value);
    if (submodule !== undefined && submodule !== '') return { type: this.#typeOf(value), submodule };
    const callee = this.#calleeOf(value);
    if (callee !== undefined && this.#index.functions.has(callee)) return { type: undefined, callee };
    return undefined;
  }

  #bind(target: Expression, binding: Omit<Binding, 'block'>): void {
    if (target.kind !== 'name') return;
    const block = this.#blocks.at(-1) ?? 0;
    const before = this.#names.get(target.name);
    // An assignment in another branch may also be the value; earlier assignments in this block, or in blocks inside it, are overwritten.
    const kept = before === undefined || this.#isWithin(before.block, block) ? [] : before.sources;
    this.#names.set(target.name, { ...binding, sources: [...new Set([...kept, ...binding.sources])], block });
  }

  #isWithin(inner: number, outer: number): boolean {
    let block = inner;
    while (block > outer) block = this.#around[block] ?? -1;
    return block === outer;
  }

  #value(
    outputs: readonly string[],
    annotated: string | undefined,
    value: Expression,
  ): { node: number; type: string | undefined } {
    const attribute = attributeOf(value);
    const type = annotated ?? this.#typeOf(value);
    const { text, sources } = this.#shown(value);
    const owner = attribute === undefined ? undefined : this.#submoduleOf(attribute.of);
    if (attribute !== undefined && owner !== undefined) {
      const target = [owner, attribute.name].filter((part) => part !== '').join('.');
      const node = this.#add({ kind: 'attribute', target, outputs, type, inputs: [] });
      return { node, type };
    }
    const node = this.#add({ kind: 'value', target: '', outputs, type, inputs: [text], sources });
    return { node, type };
  }

  /** A call, after the calls in its arguments. Without `given` its result is numbered. */
  #call(
    call: Expression & { kind: 'call' },
    given: readonly string[] | undefined,
    annotated?: string,
  ): { node: number; type: string | undefined; name: string } {
    const { of } = call;
    const shown = call.args.map((arg) => this.#argument(arg));
    const value = this.#calledValue(of);
    const outputs = given ?? [`%${this.#unnamed++}`];
    const name = outputs[0] ?? '';
    const inputs = shown.map(({ text }) => text);
    const sources = shown.flatMap((argument) => argument.sources);
    const receiver = of.kind === 'attribute' ? this.#submoduleOf(of.of) : undefined;
    if (of.kind === 'attribute' && receiver !== undefined) {
      const reaches = this.#reached(`${this.#typeOf(of.of)}.${of.name}`);
      const type = annotated ?? this.#returns(reaches);
      const node = this.#add({
        kind: 'module',
        submodule: receiver,
        target: of.name,
        ...reaches,
        outputs,
        type,
        inputs,
        sources,
      });
      return { node, type, name };
    }
    const callee = this.#calleeOf(of);
    if (callee === undefined || value !== undefined) {
      const method = of.kind === 'attribute' ? of.name : '';
      const reaches = of.kind === 'attribute' ? this.#reached(`${this.#typeOf(of.of)}.${method}`) : {};
      const type = annotated ?? this.#returns(reaches);
      const node = this.#add({
        kind: 'reaches' in reaches ? 'function' : 'op',
        target: [value?.text ?? '', method].filter((part) => part !== '').join('.'),
        ...reaches,
        outputs,
        type,
        inputs,
        sources: [...(value?.sources ?? []), ...sources],
      });
      return { node, type, name };
    }
    const constructed = this.#index.classes.has(callee);
    const reaches = constructed ? this.#reached(`${callee}.__init__`) : this.#reached(callee);
    const type =
      annotated ?? (constructed ? callee : (this.#returns(reaches) ?? castType(callee, call.args)));
    const node = this.#add({
      kind: constructed ? 'construct' : 'reaches' in reaches ? 'function' : 'op',
      target: callee,
      ...reaches,
      outputs,
      type,
      inputs,
      sources,
    });
    return { node, type, name };
  }

  /** The object of a method call, if it is a value: an interface, a named tuple, a list. */
  #calledValue(of: Expression): { text: string; sources: readonly number[] } | undefined {
    if (this.#calleeOf(of) !== undefined) return undefined;
    if (of.kind !== 'attribute') return this.#shown(of);
    return this.#submoduleOf(of.of) === undefined ? this.#shown(of.of) : undefined;
  }

  #reached(qualified: string): { reaches: string } | Record<string, never> {
    return this.#index.functions.has(qualified) ? { reaches: qualified } : {};
  }

  #returns({ reaches }: { reaches?: string }): string | undefined {
    return reaches === undefined ? undefined : known(this.#index.functions.get(reaches)?.returns);
  }

  #argument({ name, value }: Argument): { text: string; sources: readonly number[] } {
    const { text, sources } = this.#shown(value);
    return { text: name === undefined ? text : `${name}=${text}`, sources };
  }

  /** An expression as text; its calls become nodes of their own and appear as `%N`. */
  #shown(expression: Expression): { text: string; sources: readonly number[] } {
    const sources = new Set<number>();
    const text = printExpression(expression, (part) => {
      if (part.kind === 'call' && !isGetattr(part)) {
        const made = this.#call(part, undefined);
        sources.add(made.node);
        return made.name;
      }
      const submodule = part.kind === 'name' ? undefined : this.#submoduleOf(part);
      if (submodule !== undefined && submodule !== '') return `self.${submodule}`;
      if (part.kind === 'name') {
        const binding = this.#names.get(part.name);
        for (const source of binding?.sources ?? []) sources.add(source);
        if (binding?.callee !== undefined) return binding.callee;
        if (binding?.submodule !== undefined) return ['self', binding.submodule].filter(Boolean).join('.');
      }
      return undefined;
    });
    return { text, sources: [...sources] };
  }

  /** The path, from this module, of the module that an expression means. */
  #submoduleOf(expression: Expression): string | undefined {
    if (expression.kind === 'name') return this.#names.get(expression.name)?.submodule;
    const attribute = attributeOf(expression);
    if (attribute === undefined) return undefined;
    const owner = this.#submoduleOf(attribute.of);
    if (owner === undefined) return undefined;
    const type = this.#index.attribute(this.#typeOf(attribute.of), attribute.name)?.type;
    if (type === undefined || !this.#index.classes.has(type)) return undefined;
    return owner === '' ? attribute.name : `${owner}.${attribute.name}`;
  }

  #typeOf(expression: Expression): string | undefined {
    if (expression.kind === 'name') return this.#names.get(expression.name)?.type;
    const attribute = attributeOf(expression);
    if (attribute === undefined) return undefined;
    return known(this.#index.attribute(this.#typeOf(attribute.of), attribute.name)?.type);
  }

  /** The dotted name of the called function; undefined for a method of a value. */
  #calleeOf(expression: Expression): string | undefined {
    if (expression.kind === 'name') {
      const binding = this.#names.get(expression.name);
      return binding === undefined ? expression.name : binding.callee;
    }
    if (expression.kind !== 'attribute') return undefined;
    const owner = this.#calleeOf(expression.of);
    return owner === undefined ? undefined : `${owner}.${expression.name}`;
  }

  #add(node: Omit<GraphNode, 'line' | 'depth' | 'sources'> & { sources?: readonly number[] }): number {
    const sources = [...new Set(node.sources ?? [])];
    this.nodes.push({ ...node, line: this.#line, depth: this.#depth, sources });
    return this.nodes.length - 1;
  }
}

function known(type: string | undefined): string | undefined {
  return type === undefined || type === '' ? undefined : type;
}

/** `x.name`, and `getattr(x, "0")` for names that Python cannot write. */
function attributeOf(expression: Expression): { of: Expression; name: string } | undefined {
  if (expression.kind === 'attribute') return expression;
  if (!isGetattr(expression)) return undefined;
  const [of, name] = expression.args;
  if (of === undefined || name?.value.kind !== 'literal') return undefined;
  return { of: of.value, name: unquoted(name.value.text) };
}

function isGetattr(expression: Expression): expression is Expression & { kind: 'call' } {
  return expression.kind === 'call' && expression.of.kind === 'name' && expression.of.name === 'getattr';
}

const CASTS = new Set(['annotate', 'unchecked_cast', 'uninitialized']);

function castType(callee: string, args: readonly Argument[]): string | undefined {
  const [type] = args;
  return CASTS.has(callee) && type !== undefined ? printExpression(type.value) : undefined;
}

/** The element types of a declared tuple. */
function tupleTypes(type: string | undefined): readonly string[] {
  const inside = /^Tuple\[(.*)\]$/s.exec(type ?? '')?.[1];
  if (inside === undefined) return [];
  const types: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at <= inside.length; at++) {
    const character = inside[at];
    if (character === '[') depth++;
    else if (character === ']') depth--;
    else if ((character === ',' && depth === 0) || character === undefined) {
      types.push(inside.slice(start, at).trim());
      start = at + 1;
    }
  }
  return types;
}
