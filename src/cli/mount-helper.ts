import { existsSync } from 'node:fs';

/**
 * mount(8) and mount.fuse3 know no commands: for the type `fuse.mlfs` they run `mlfs SOURCE DIRECTORY [-o LIST]`. Such a line becomes `mlfs
 * mount …`; all others are returned unchanged. `commands`: names that are commands even if a file has the same name.
 */
export function translateMountHelper(argv: readonly string[], commands: ReadonlySet<string>): string[] {
  const [source, directory, ...rest] = argv;
  if (source === undefined || directory === undefined || commands.has(source)) return [...argv];
  if (source.startsWith('-') || directory.startsWith('-')) return [...argv];
  if (rest.length > 0 && !rest[0]?.startsWith('-o')) return [...argv];
  // A word without a slash that is not a file is a misspelt command.
  if (!source.includes('/') && !existsSync(source)) return [...argv];
  return ['mount', ...rest, '--', source, directory];
}
