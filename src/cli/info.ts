import type { Command } from 'commander';
import type { OpenedCheckpoint } from '../index.ts';
import { bounded, MAX_NAME_BYTES, visible } from '../visible-text.ts';
import { printJson, printText } from './output.ts';
import { exactBytes, plural } from './printable.ts';

/** `mlfs info CHECKPOINT`: the kind of file, its contents, and warnings. */
export function registerInfo(program: Command): void {
  program
    .command('info')
    .description('say what is in a checkpoint file, and what is unusual about it')
    .argument('<checkpoint>', 'a .pt, .pth, .bin, .safetensors … file')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs info model.pt')
    .action(showInfo);
}

async function showInfo(path: string, options: { readonly json?: boolean }): Promise<void> {
  const [{ openCheckpoint }, { noteUncommittedEdits }] = await Promise.all([
    import('../index.ts'),
    import('./uncommitted-note.ts'),
  ]);
  await using checkpoint = await openCheckpoint(path);
  if (!options.json) await noteUncommittedEdits(path);
  const facts = factsOf(checkpoint);
  if (options.json) printJson(facts, 2);
  else printText(asText(facts));
}

/** Classes whose code a TorchScript archive holds: Python never imports them. */
function isOwnClass({ format }: OpenedCheckpoint, name: string): boolean {
  return format === 'torchscript' && name.startsWith('__torch__.');
}

type Facts = ReturnType<typeof factsOf>;

function factsOf(checkpoint: OpenedCheckpoint) {
  const dtypes: Record<string, { tensors: number; bytes: number }> = {};
  let bytes = 0;
  for (const { dtype, nbytes } of checkpoint.distinctTensors()) {
    dtypes[dtype] ??= { tensors: 0, bytes: 0 };
    const ofType = dtypes[dtype];
    ofType.tensors++;
    ofType.bytes += nbytes;
    bytes += nbytes;
  }
  const use = checkpoint.storageUse;
  return {
    path: checkpoint.path,
    format: checkpoint.format,
    file_bytes: checkpoint.fileSize,
    tensors: checkpoint.tensorCount,
    tensor_bytes: bytes,
    storage_bytes: use.bytes,
    unused_storage_bytes: use.unusedBytes,
    tied: checkpoint.tensors.length - checkpoint.tensorCount,
    dtypes,
    not_in_model: checkpoint.leftOut,
    not_in_export: checkpoint.notExported,
    changed_names: checkpoint.separatedNames,
    metadata: checkpoint.metadata,
    model: checkpoint.model,
    unknown_globals: checkpoint.unknownGlobals.filter((name) => !isOwnClass(checkpoint, name)),
    warnings: checkpoint.warnings.map(({ code, message }) => ({ code, message })),
  };
}

/** Maximum length of a list; --json prints all of it. */
const MAX_LISTED = 20;

function listed<T>(all: readonly T[], line = (item: T) => bounded(String(item), MAX_NAME_BYTES)): string[] {
  const lines = all.slice(0, MAX_LISTED).map((item) => `  ${line(item)}`);
  const more = all.length - lines.length;
  return more > 0 ? [...lines, `  … and ${more} more (--json lists all)`] : lines;
}

function nameAndReason({ name, reason }: Facts['not_in_model'][number]): string {
  return `${bounded(name, MAX_NAME_BYTES)}: ${reason}`;
}

function asText(facts: Facts): string {
  const lines = [
    ['path', visible(facts.path)],
    ['format', facts.format],
    ['file', exactBytes(facts.file_bytes)],
    ['tensors', `${plural(facts.tensors, 'tensor')}, ${exactBytes(facts.tensor_bytes)}`],
  ];
  if (facts.model.path !== '') {
    const { path, tensors } = facts.model;
    lines.push([
      'model',
      `${bounded(path, MAX_NAME_BYTES)}: ${tensors} of the ${plural(facts.tensors, 'tensor')}`,
    ]);
  }
  if (facts.unused_storage_bytes > 0) {
    const { storage_bytes: all, unused_storage_bytes: unused } = facts;
    lines.push(['storages', `${exactBytes(all)}, of which no tensor uses ${exactBytes(unused)}`]);
  }
  if (facts.tied > 0)
    lines.push(['tied', `${plural(facts.tied, 'name')} of bytes that another name has too`]);
  for (const [dtype, { tensors, bytes }] of Object.entries(facts.dtypes)) {
    lines.push([dtype, `${plural(tensors, 'tensor')}, ${exactBytes(bytes)}`]);
  }
  for (const [key, value] of Object.entries(facts.metadata))
    lines.push([bounded(key, MAX_NAME_BYTES), bounded(value, MAX_NAME_BYTES)]);
  const width = Math.max(...lines.map(([key]) => key?.length ?? 0));
  const text = lines.map(([key, value]) => `${key?.padEnd(width)}  ${value}`);
  if (facts.unknown_globals.length > 0) {
    text.push('', 'The pickle names these, which MLFS does not know. None was imported or called;');
    text.push('torch.load without weights_only=True would:');
    text.push(...listed(facts.unknown_globals));
  }
  if (facts.not_in_model.length > 0) {
    text.push('', 'These belong to the model and are not in it (a mount has them in /checkpoint):');
    text.push(...listed(facts.not_in_model, nameAndReason));
  }
  if (facts.not_in_export.length > 0) {
    text.push('', 'These are in the model, and export/model.safetensors of a mount cannot hold them:');
    text.push(...listed(facts.not_in_export, nameAndReason));
  }
  if (facts.changed_names.length > 0) {
    text.push(
      '',
      'Another tensor has the name of each of these without ~2, ~3, …:',
      ...listed(facts.changed_names),
    );
  }
  for (const { message } of facts.warnings) text.push('', `warning: ${message}`);
  return `${text.join('\n')}\n`;
}
