import type { Command } from 'commander';
import { MlfsError } from '../errors.ts';
import { quoteName } from '../visible-text.ts';
import { dottedName } from './dotted-name.ts';
import { isStdoutBroken, writeStdout } from './stdout.ts';

/** `mlfs cat CHECKPOINT NAME`: a tensor's exact bytes, without mounting. */
export function registerCat(program: Command): void {
  program
    .command('cat')
    .description("write a tensor's bytes to stdout: C order, little-endian, no header")
    .argument('<checkpoint>', 'a .pt, .pth, .bin, .safetensors … file')
    .argument('<name>', 'the name of the tensor, as `mlfs ls` prints it, or its full path')
    .option('-f, --force', 'write even if stdout is a terminal')
    .addHelpText('after', '\nExample:\n  mlfs cat model.pt fc.weight | sha256sum')
    .action(writeTensor);
}

async function writeTensor(path: string, name: string, options: { readonly force?: boolean }): Promise<void> {
  if (process.stdout.isTTY && !options.force) {
    throw new MlfsError('ERR_MLFS_USAGE', 'stdout is a terminal, and a tensor is binary', {
      advice: `mlfs cat ${path} ${name} | hexdump -C | head`,
    });
  }
  const [{ openCheckpoint }, { noteUncommittedEdits }] = await Promise.all([
    import('../index.ts'),
    import('./uncommitted-note.ts'),
  ]);
  await noteUncommittedEdits(path);
  await using checkpoint = await openCheckpoint(path);
  const dotted = checkpoint.get(name) === undefined ? dottedName(checkpoint, name) : undefined;
  if (dotted !== undefined) {
    const command = checkpoint.get(dotted) === undefined ? 'ls' : 'cat';
    throw new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: has no tensor ${quoteName(name)}`, {
      path,
      advice: `mlfs ${command} ${path} ${dotted}`,
    });
  }
  for await (const bytes of checkpoint.stream(name)) {
    await writeStdout(bytes);
    if (isStdoutBroken()) return;
  }
}
