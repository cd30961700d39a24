/** Mutations of a JSON document: values of other kinds and sizes, keys that collide, and texts that are not quite JSON. */
import type { Random } from '../random.ts';
import { edge, mutateBytes, mutateText } from './bytes.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A text that is no JSON to begin with is changed as bytes. */
export function mutateJson(random: Random, text: Uint8Array): Buffer {
  if (random.once(10)) return mutateBytes(random, text);
  let value: Json;
  try {
    value = JSON.parse(Buffer.from(text).toString('utf8'));
  } catch {
    return mutateBytes(random, text);
  }
  for (let left = random.pick([1, 1, 2, 3]); left > 0; left--) value = changed(random, value);
  return Buffer.from(written(random, value));
}

function changed(random: Random, value: Json): Json {
  const stop = random.once(5);
  if (!stop && Array.isArray(value) && value.length > 0) {
    const at = random.below(value.length);
    const item = value[at] as Json;
    switch (random.below(8)) {
      case 0:
        return value.toSpliced(at, 1);
      case 1:
        return value.toSpliced(at, 0, ...Array<Json>(random.pick([1, 2, 100])).fill(item));
      default:
        return value.with(at, changed(random, item));
    }
  }
  if (!stop && typeof value === 'object' && value !== null && Object.keys(value).length > 0) {
    return changedEntry(random, value as { [key: string]: Json });
  }
  return otherValue(random, value);
}

function changedEntry(random: Random, value: { [key: string]: Json }): Json {
  const entries = Object.entries(value);
  const at = random.below(entries.length);
  const [key, item] = entries[at] as [string, Json];
  const change = random.below(10);
  if (change === 0) return Object.fromEntries(entries.toSpliced(at, 1));
  if (change === 1) return Object.fromEntries(entries.with(at, [mutateText(random, key), item]));
  if (change === 2) return Object.fromEntries([...entries, [mutateText(random, key), item]]);
  if (change === 3) {
    const [, other] = random.pick(entries);
    return Object.fromEntries(entries.with(at, [key, other]));
  }
  return Object.fromEntries(entries.with(at, [key, changed(random, item)]));
}

function otherValue(random: Random, value: Json): Json {
  if (typeof value === 'number' && !random.once(3)) {
    return random.pick([
      value + 1,
      value - 1,
      value * 2,
      -value,
      value / 2,
      value * value,
      Number(edge(random)),
    ]);
  }
  if (typeof value === 'string' && !random.once(3)) {
    return random.once(3)
      ? random.pick(['F32', 'BF16', 'F4', 'C64', 'F6_E2M3', 'I64'])
      : mutateText(random, value);
  }
  return random.pick<Json>([
    null,
    true,
    0,
    -1,
    1.5,
    Number(edge(random)),
    '',
    'x',
    [],
    {},
    [[]],
    [0, 4],
    { a: {} },
  ]);
}

/** What was nested deeper than V8 can write is a short text. */
function asText(value: Json, indent: number): string {
  try {
    return JSON.stringify(value, undefined, indent);
  } catch (cause) {
    if (cause instanceof RangeError) return '[[]]';
    throw cause;
  }
}

function written(random: Random, value: Json): string {
  const text = asText(value, random.once(6) ? 2 : 0);
  const at = random.below(text.length);
  switch (random.below(24)) {
    case 0:
      return text.replace(/"([^"\\]+)":/, (key) => `${key}0,${key}`);
    case 1:
      return text.replace(/\d+/, random.pick(['1e999', '-0', '01', '1.0', '1e2', '9'.repeat(40), 'NaN']));
    case 2:
      return text.slice(0, at);
    case 3:
      return `${text.slice(0, at)}${random.pick(['\\ud800', '\\u0000', '\0', '\ufeff', '\\', '"', ','])}${text.slice(at)}`;
    case 4: {
      const depth = random.pick([10, 1000, 100_000]);
      return text.replace(/\d+|""/, `${'['.repeat(depth)}${']'.repeat(depth)}`);
    }
    case 5:
      return text + random.pick([' ', '\0', '{}', '\n'.repeat(100)]);
    default:
      return text;
  }
}
