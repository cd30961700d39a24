import { MlfsError } from '../errors.ts';

/**
 * The prototype had no commands: `mlfs --model resnet18.pt --mount /mnt/mlfs --foreground`. Such a line becomes `mlfs mount resnet18.pt
 * /mnt/mlfs --foreground`; all others are returned unchanged.
 */
export function translatePrototype(argv: readonly string[]): string[] {
  if (!argv[0]?.startsWith('-') || !argv.some((word) => /^--(model|mount)(=|$)/.test(word))) return [...argv];
  const values: Record<string, string> = {};
  const rest: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? '';
    const option = /^--(model|mount)(?:=(.*))?$/s.exec(word);
    if (option?.[1] === undefined) {
      rest.push(word);
      continue;
    }
    const value = option[2] ?? argv[++index];
    if (value === undefined) throw new MlfsError('ERR_MLFS_USAGE', `--${option[1]}: a value is missing`);
    values[option[1]] = value;
  }
  const { model, mount } = values;
  if (model === undefined || mount === undefined) {
    throw new MlfsError('ERR_MLFS_USAGE', `--${model === undefined ? 'model' : 'mount'} is missing`, {
      advice: 'mlfs mount CHECKPOINT DIRECTORY',
    });
  }
  return ['mount', ...rest, '--', model, mount];
}
