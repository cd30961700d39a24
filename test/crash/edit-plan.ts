/** What the writer of a kill -9 round does: the same for whoever knows the seed, so that only numbers have to be told. */
import { SeededRandom } from './seeded-random.ts';

export interface TensorPlan {
  readonly name: string;
  /** Multiples of 4. */
  readonly length: number;
}

export const TENSORS: readonly TensorPlan[] = [
  { name: 'small.bias', length: 256 },
  { name: 'middle.weight', length: 40_000 },
  { name: 'large.weight', length: 1_200_000 },
  { name: 'odd.weight', length: 77_004 },
];

export type Operation =
  | { readonly kind: 'write'; readonly tensor: number; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'replace'; readonly tensor: number; readonly bytes: Buffer }
  | { readonly kind: 'fsync'; readonly tensor: number }
  | { readonly kind: 'commit' };

/** `/model/large/weight.bin` of a mount. */
export function pathOf(mountpoint: string, { name }: TensorPlan): string {
  return `${mountpoint}/model/${name.replaceAll('.', '/')}.bin`;
}

/** Operation `number` of a round. */
export function operation(seed: number, round: number, number: number): Operation {
  const random = new SeededRandom(seed * 1_000_003 + round * 1009 + number);
  const what = random.next();
  if (what < 0.05) return { kind: 'commit' };
  const tensor = random.below(TENSORS.length);
  const { length } = TENSORS[tensor] as TensorPlan;
  if (what < 0.3) return { kind: 'fsync', tensor };
  if (what < 0.4) return { kind: 'replace', tensor, bytes: random.bytes(length) };
  const size = 1 + random.below(Math.min(length, random.chance(0.2) ? 300_000 : 5000));
  return { kind: 'write', tensor, offset: random.below(length - size + 1), bytes: random.bytes(size) };
}
