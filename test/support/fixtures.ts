import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** The facts that torch reports about a tensor (make-fixtures.py). */
export interface ExpectedTensor {
  readonly path: readonly string[];
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  readonly offset: number;
  readonly requires_grad: boolean;
  readonly parameter?: boolean;
  readonly conj?: boolean;
  readonly neg?: boolean;
  /** null for a tensor that has no bytes. */
  readonly sha256: string | null;
}

export interface Fixture {
  /** `torch-2.13/views.pt`. */
  readonly name: string;
  readonly path: string;
  readonly format: string;
  readonly tensors: readonly ExpectedTensor[];
  /** Names of `module.state_dict()`, in its order, when the root is a module. */
  readonly stateDict: readonly string[] | undefined;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  /** What torch 2.13 prints for the module. */
  readonly str: string | undefined;
}

interface ExpectedFile {
  readonly format: string;
  readonly tensors: readonly ExpectedTensor[];
  readonly state_dict?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

const SUFFIX = '.expected.json';

/** Every fixture: a real file, with the facts that torch reports about it. */
export function readFixtures(): Fixture[] {
  const names = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).sort();
  return names
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => {
      const file = name.slice(0, -SUFFIX.length);
      const expected: ExpectedFile = JSON.parse(readFileSync(`${FOLDER}${name}`, 'utf8'));
      const golden = `${file}.str.txt`;
      return {
        name: file,
        path: `${FOLDER}${file}`,
        format: expected.format,
        tensors: expected.tensors,
        stateDict: expected.state_dict,
        metadata: expected.metadata,
        str: names.includes(golden)
          ? readFileSync(`${FOLDER}${golden}`, 'utf8').replace(/\n$/, '')
          : undefined,
      };
    });
}
