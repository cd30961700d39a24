/** The thread that makes one document and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { type GraphForm, type GraphSource, graphDocument } from './graph-documents.ts';

export interface GraphOrder {
  readonly source: GraphSource;
  readonly form: GraphForm;
}

const { source, form } = workerData as GraphOrder;
parentPort?.postMessage(graphDocument(source, form));
