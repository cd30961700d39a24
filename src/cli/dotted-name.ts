import type { OpenedCheckpoint } from '../index.ts';

/**
 * The name of a module or tensor whose path in a mount was given, as `mlfs diff` and `mlfs seal` print it: `layers.0` for `layers/0`,
 * `model/layers/0` and `model/layers/0.bin`. Undefined when nothing has that name.
 */
export function dottedName(checkpoint: OpenedCheckpoint, path: string): string | undefined {
  if (!path.includes('/')) return undefined;
  const whole = path
    .replace(/^\/+|\/+$/g, '')
    .replace(/\.(bin|grad|npy|txt|csv|json)$/, '')
    .replaceAll('/', '.');
  const names = [whole, whole.replace(/^(model|checkpoint)\./, '')];
  return names.find((name) =>
    checkpoint.below(name).some((tensor) => tensor.name === name || tensor.name.startsWith(`${name}.`)),
  );
}
