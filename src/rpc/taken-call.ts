import { visibleJson } from '../visible-text.ts';

/**
 * A worker's file has this size whatever it says. The longest document has 2,091 bytes: an id of 255 bytes, each of which may be written with six,
 * and two names of 255 and 256.
 */
export const TAKEN_CALL_BYTES = 4096;

/** What a worker reads about its call: the call's folder in /rpc, and names in that folder. */
export interface TakenCall {
  readonly id: string;
  readonly input: string | undefined;
  readonly output: string;
  readonly answer: string;
}

/** A line of JSON, padded with spaces. Throws for one that does not fit: cut, it would be no JSON. */
export function takenCallDocument(call: TakenCall | Record<string, never>): Buffer {
  const text = visibleJson(call);
  const length = Buffer.byteLength(text);
  if (length >= TAKEN_CALL_BYTES) throw new RangeError(`a call of ${length} bytes does not fit`);
  const bytes = Buffer.alloc(TAKEN_CALL_BYTES, ' ');
  bytes.write(text);
  bytes.write('\n', TAKEN_CALL_BYTES - 1);
  return bytes;
}

/** Undefined if there is no call in it. Throws for anything that is not such a document. */
export function parseTakenCall(document: string): (TakenCall & { readonly input: string }) | undefined {
  const { id, input, output, answer } = JSON.parse(document) as Readonly<Record<string, unknown>>;
  if (id === undefined || input === undefined) return undefined;
  if (
    typeof id !== 'string' ||
    typeof input !== 'string' ||
    typeof output !== 'string' ||
    typeof answer !== 'string'
  )
    throw new TypeError('it names no files');
  return { id, input, output, answer };
}

/** The contents when no call came. */
export const NO_CALL = takenCallDocument({});
