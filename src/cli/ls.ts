import type { Command } from 'commander';
import { MlfsError } from '../errors.ts';
import type { TensorInfo } from '../index.ts';
import { dottedName } from './dotted-name.ts';
import { notice } from './notice.ts';
import { printJson, printTable } from './output.ts';
import { grouped, table } from './printable.ts';

interface LsOptions {
  readonly long?: boolean;
  readonly json?: boolean;
}

/** `mlfs ls CHECKPOINT [PREFIX]`: the tensors of a file, without mounting it. */
export function registerLs(program: Command): void {
  program
    .command('ls')
    .description('list the tensors of a checkpoint, without a mount')
    .argument('<checkpoint>', 'a .pt, .pth, .bin, .safetensors … file')
    .argument(
      '[prefix]',
      'only the module or tensor with this name, such as `layers.0` or `optimizer.state`; or names that start with it',
    )
    .option('-l, --long', 'also print stride, storage and offset in the file')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  mlfs ls -l model.pt layers.0')
    .action(listTensors);
}

async function listTensors(path: string, prefix: string | undefined, options: LsOptions): Promise<void> {
  const [{ openCheckpoint }, { noteUncommittedEdits }] = await Promise.all([
    import('../index.ts'),
    import('./uncommitted-note.ts'),
  ]);
  await using checkpoint = await openCheckpoint(path);
  if (!options.json) await noteUncommittedEdits(path);
  const tensors = prefix === undefined ? checkpoint.tensors : checkpoint.below(prefix);
  if (prefix !== undefined && tensors.length === 0) {
    throw new MlfsError('ERR_MLFS_NOT_FOUND', `${path}: no tensor's name starts with ${prefix}`, {
      path,
      advice: `mlfs ls ${path} ${dottedName(checkpoint, prefix) ?? ''}`.trimEnd(),
    });
  }
  if (options.json) {
    const rows = tensors.map(({ fileOffset, requiresGrad, ...tensor }) => ({
      ...tensor,
      requires_grad: requiresGrad,
      file_offset: fileOffset ?? null,
    }));
    printJson(rows, 2);
    return;
  }
  const columns = options.long ? LONG : SHORT;
  const rows = tensors.map((tensor) => columns.map(({ cell }) => cell(tensor)));
  const right = new Set(columns.flatMap(({ right }, index) => (right ? [index] : [])));
  const titles = columns.map(({ title }) => title);
  if (rows.length > 0) printTable(table(titles, rows, right));
  else notice(`${path}: holds no tensors`);
}

interface Column {
  readonly title: string;
  readonly cell: (tensor: TensorInfo) => string;
  readonly right?: boolean;
}

const SHORT: readonly Column[] = [
  { title: 'name', cell: ({ name }) => name },
  { title: 'dtype', cell: ({ dtype }) => dtype },
  { title: 'shape', cell: ({ shape }) => `[${shape.join(', ')}]` },
  { title: 'bytes', cell: ({ nbytes }) => grouped(nbytes), right: true },
];
const LONG: readonly Column[] = [
  ...SHORT,
  { title: 'stride', cell: ({ stride }) => `[${stride.join(', ')}]` },
  { title: 'storage', cell: ({ storage }) => storage },
  {
    title: 'offset',
    cell: ({ fileOffset }) => (fileOffset === undefined ? '-' : grouped(fileOffset)),
    right: true,
  },
];
