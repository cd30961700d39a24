/** Mutant N of seed S: always the same bytes, of one target, with one corpus. */
import type { Corpus } from './corpus.ts';
import { Random } from './random.ts';
import type { Mutant, Target } from './target.ts';
import { checkpointTarget } from './targets/checkpoint.ts';
import { controlTarget } from './targets/control.ts';
import { misbehavingTarget } from './targets/misbehaving.ts';
import { npyTarget } from './targets/npy.ts';
import { scriptTarget } from './targets/script.ts';
import { stateTarget } from './targets/state.ts';
import { textTarget } from './targets/text.ts';
import { wireTarget } from './targets/wire.ts';

export const TARGETS: readonly Target[] = [
  checkpointTarget,
  scriptTarget,
  textTarget,
  wireTarget,
  stateTarget,
  npyTarget,
  controlTarget,
];

export interface NamedMutant extends Mutant {
  readonly target: string;
}

/** `only`: the name of a target; each of its mutants is another one than without. */
export function makeMutant(seed: number, number: number, corpus: Corpus, only?: string): NamedMutant {
  const random = new Random(seed, number);
  const choices =
    only === undefined ? TARGETS : [...TARGETS, misbehavingTarget].filter(({ name }) => name === only);
  const target = random.weighted(choices.map((choice) => [choice.weight, choice] as const));
  return { target: target.name, ...target.make(random, corpus, number) };
}
