import { visibleJson } from '../visible-text.ts';

/** The size of a worker's file, whatever it contains. */
export const TAKEN_CALL_BYTES = 2048;

/** What a worker reads about its call: the call's folder in /rpc, and names in that folder. */
export interface TakenCall {
  readonly id: string;
  readonly input: string | undefined;
  readonly output: string;
  readonly answer: string;
}

/** A line of JSON, padded with spaces. */
export function takenCallDocument(call: TakenCall | Record<string, never>): Buffer {
  const bytes = Buffer.alloc(TAKEN_CALL_BYTES, ' ');
  bytes.write(visibleJson(call));
  bytes.write('\n', TAKEN_CALL_BYTES - 1);
  return bytes;
}

/** The contents when no call came. */
export const NO_CALL = takenCallDocument({});
