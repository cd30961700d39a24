/** The process that makes one document and ends. */
import { messageOf } from '../../errors.ts';
import { type GraphForm, type GraphSource, graphDocument } from './graph-documents.ts';

export interface GraphOrder {
  readonly source: GraphSource;
  readonly form: GraphForm;
}

export type GraphAnswer = { readonly document: string } | { readonly error: string };

process.once('message', ({ source, form }: GraphOrder) => {
  process.send?.(answer(source, form), () => process.disconnect());
});

function answer(source: GraphSource, form: GraphForm): GraphAnswer {
  try {
    return { document: graphDocument(source, form) };
  } catch (cause) {
    return { error: messageOf(cause) };
  }
}
