/**
 * The media that a power loss can leave: all of them when they are few, else those that hurt most, and a sample of the rest. Each state
 * comes once.
 */
import { createHash } from 'node:crypto';
import type { SeededRandom } from './seeded-random.ts';
import type { SimulatedMedium, Survival } from './simulated-medium.ts';

export interface CrashStateOptions {
  /** At most so many states. */
  readonly limit: number;
  readonly random: SeededRandom;
}

export function* crashStates(
  medium: SimulatedMedium,
  { limit, random }: CrashStateOptions,
): Iterable<SimulatedMedium> {
  const changes = medium.unsynced();
  const seen = new Set<string>();
  for (const survivals of choices(changes, limit, random)) {
    const state = medium.afterCrash(survivals);
    const signature = signatureOf(state);
    if (seen.has(signature)) continue;
    seen.add(signature);
    yield state;
    if (seen.size >= limit) return;
  }
}

const hashes = new WeakMap<Buffer, string>();

/** The same for media that hold the same. */
export function signatureOf(medium: SimulatedMedium): string {
  const hash = createHash('sha1');
  for (const [path, bytes] of medium.files()) {
    hash.update(`${path}\0${bytes === undefined ? 'folder' : hashOf(bytes)}\0`);
  }
  return hash.digest('base64');
}

function hashOf(bytes: Buffer): string {
  const known = hashes.get(bytes);
  if (known !== undefined) return known;
  const made = createHash('sha1').update(bytes).digest('base64');
  hashes.set(bytes, made);
  return made;
}

type Unsynced = readonly { readonly units: number }[];

function* choices(changes: Unsynced, limit: number, random: SeededRandom): Iterable<Survival[]> {
  const units = changes.reduce((sum, change) => sum + change.units, 0);
  if (units + changes.length <= Math.log2(limit)) {
    yield* everySubset(changes, units);
    return;
  }
  yield* prefixes(changes);
  const telling = [...tornPrefixes(changes, random), ...singles(changes)];
  // At most two thirds of the cases are those, so that a sample of anything is always among them.
  const share = Math.max(1, Math.floor((limit * 2) / 3) - changes.length);
  yield* telling.length <= share ? telling : sampled(telling, share, random);
  for (let count = 0; count < limit; count++) yield sample(changes, random);
}

function* everySubset(changes: Unsynced, units: number): Iterable<Survival[]> {
  const bits = units + changes.length;
  for (let subset = 0; subset < 2 ** bits; subset++) {
    let bit = 0;
    const next = () => ((subset >>> bit++) & 1) === 1;
    yield changes.map((change) => ({ units: Array.from({ length: change.units }, next), grown: next() }));
  }
}

/** A file system that loses nothing but the end: the first changes survive, the others do not. */
export function* prefixes(changes: Unsynced): Iterable<Survival[]> {
  for (let kept = changes.length; kept >= 0; kept--) {
    yield changes.map(({ units }, index) => all(units, index < kept));
  }
}

/** The same with the last survivor torn in some way, and with what was lost after it as zeros. */
function* tornPrefixes(changes: Unsynced, random: SeededRandom): Iterable<Survival[]> {
  for (const [torn, { units }] of changes.entries()) {
    const ways: boolean[][] = [
      Array.from({ length: units }, (_, unit) => unit < units / 2),
      Array.from({ length: units }, (_, unit) => unit >= units / 2),
      Array.from({ length: units }, () => random.chance(0.5)),
      Array.from({ length: units }, () => false),
    ];
    for (const way of ways) {
      yield changes.map((change, index) =>
        index === torn
          ? { units: way, grown: random.chance(0.7) }
          : { ...all(change.units, index < torn), grown: true },
      );
    }
  }
}

/** One is lost, or one alone survives. */
function* singles(changes: Unsynced): Iterable<Survival[]> {
  for (const one of changes.keys()) {
    yield changes.map(({ units }, index) => all(units, index !== one));
    yield changes.map(({ units }, index) => all(units, index === one));
  }
}

function sample(changes: Unsynced, random: SeededRandom): Survival[] {
  const keep = random.next();
  const tear = random.next() / 2;
  return changes.map(({ units }) => {
    const torn = units > 1 && random.chance(tear);
    const kept = random.chance(keep);
    return {
      units: Array.from({ length: units }, () => (torn ? random.chance(0.5) : kept)),
      grown: random.chance(0.5),
    };
  });
}

function sampled<T>(from: readonly T[], count: number, random: SeededRandom): T[] {
  const rest = [...from];
  return Array.from({ length: count }, () => rest.splice(random.below(rest.length), 1)[0] as T);
}

function all(units: number, survives: boolean): Survival {
  return { units: new Array<boolean>(units).fill(survives), grown: survives };
}
