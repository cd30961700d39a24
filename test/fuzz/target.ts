import type { Corpus } from './corpus.ts';
import type { Outcome, Stopwatch } from './judge.ts';
import type { Random } from './random.ts';

/** What is fuzzed. */
export interface Target {
  readonly name: string;
  /** How often it is chosen, in relation to the others. */
  readonly weight: number;
  /** Depends on the generator and the corpus only. */
  make(random: Random, corpus: Corpus, number: number): Mutant;
}

export interface Mutant {
  /** What it was made from. */
  readonly label: string;
  /** For the report of a failure: what a person looks at. */
  readonly bytes: Uint8Array;
  /** Throws a Fault, or anything else, when there is a defect. */
  drive(scene: Scene): Promise<Outcome>;
}

/** Where a mutant is driven. */
export interface Scene {
  /** A folder of this process, empty before each mutant. */
  readonly folder: string;
  /** A folder of this process that is kept from one mutant to the next, for what takes long to make. */
  readonly kept: string;
  readonly clock: Stopwatch;
}
