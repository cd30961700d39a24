/** Makes the documents of a program from its text: the work of a graph's process. */
import { objectOf } from '../../checkpoint/torch/json-record.ts';
import { bounded, escapeJson, visibleJson } from '../../visible-text.ts';
import { exportedDot, exportedText } from './exported-documents.ts';
import { readExportedGraph } from './exported-graph.ts';
import { scriptDot } from './script-dot.ts';
import { scriptJson } from './script-json.ts';
import { readProgram, type ScriptSource } from './script-program.ts';
import { scriptText } from './script-text.ts';

export type GraphForm = 'txt' | 'json' | 'dot';

export type GraphSource =
  | ({ readonly kind: 'torchscript' } & ScriptSource)
  /** `json` is an exported program as torch.export writes it. */
  | { readonly kind: 'exported'; readonly name: string; readonly json: Uint8Array };

export function graphDocument(source: GraphSource, form: GraphForm): string {
  if (source.kind === 'exported') {
    const text = Buffer.from(source.json).toString('utf8');
    if (form === 'json') return escapeJson(text);
    const graph = readExportedGraph(objectOf(JSON.parse(text)));
    return form === 'dot' ? exportedDot(source.name, graph) : exportedText(source.name, graph);
  }
  const program = readProgram(source);
  if (form === 'json') return scriptJson(program);
  return form === 'dot' ? scriptDot(program) : scriptText(program);
}

const MAX_REASON_BYTES = 2000;

/** The document that replaces one that could not be made. */
export function refusal(form: GraphForm, reason: string): string {
  const line = `the graph could not be made: ${bounded(reason.replace(/\s+/g, ' '), MAX_REASON_BYTES)}`;
  if (form === 'json') return `${visibleJson({ error: line })}\n`;
  return form === 'dot' ? `// ${line}\ndigraph {\n}\n` : `# ${line}\n`;
}
