import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../fixtures/model-kinds/', import.meta.url));

/** A file of test/fixtures/model-kinds, and how its tensors are called (make-model-kinds.py): SHA-256 by name. */
export interface ModelKind {
  readonly name: string;
  readonly path: string;
  readonly model: Readonly<Record<string, string>>;
  /** Tensors that are not in the model; null where torch has no name for them. */
  readonly others: Readonly<Record<string, string>> | null;
  /** Those of them that are below the model's value. */
  readonly leftOut: readonly string[];
}

type Described = Omit<ModelKind, 'name' | 'path' | 'leftOut'> & { readonly left_out: readonly string[] };

export function readModelKinds(): ModelKind[] {
  const kinds: Record<string, Described> = JSON.parse(readFileSync(`${FOLDER}names.json`, 'utf8'));
  return Object.entries(kinds).map(([name, { left_out: leftOut, ...rest }]) => ({
    name,
    path: FOLDER + name,
    leftOut,
    ...rest,
  }));
}
