import type { Command } from 'commander';
import type { NamedTensorToWrite } from '../checkpoint/torch/writer.ts';
import { MlfsError } from '../errors.ts';
import { printLine, printStyled, printText } from './output.ts';
import { exactBytes, plural } from './printable.ts';

/** `mlfs demo`: makes, mounts, reads and edits a small model. */
export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('make a small checkpoint, mount it, read it, edit it, commit, unmount; leave nothing behind')
    .addOption(
      program
        .createOption('--transport <name>', 'how to reach the kernel')
        .choices(['auto', 'kernel', 'fuse-native'])
        .default('auto'),
    )
    .addHelpText('after', '\nExample:\n  mlfs demo')
    .action(demonstrate);
}

async function demonstrate(options: {
  readonly transport: 'auto' | 'kernel' | 'fuse-native';
}): Promise<void> {
  const [{ withTemporaryFolder }, { writeTorchZip }, { join }] = await Promise.all([
    import('./trial-mount.ts'),
    import('../checkpoint/torch/writer.ts'),
    import('node:path'),
  ]);
  await withTemporaryFolder(async (folder, interrupted) => {
    const checkpoint = join(folder, 'mlp.pt');
    heading('A checkpoint, written as torch.save would');
    const { size } = await writeTorchZip(checkpoint, { tensors: MLP });
    say(`${checkpoint}: ${plural(MLP.length, 'tensor')}, ${exactBytes(size)}`);
    await readAsLibrary(checkpoint);
    try {
      await mountAndWalk(checkpoint, folder, options.transport, interrupted);
    } catch (error) {
      if (!(error instanceof MlfsError) || error.code !== 'ERR_MLFS_FUSE') throw error;
      await explainNoMount(error);
    }
  });
}

/** Explains the failure; the last line is a single command that repairs it. */
async function explainNoMount(error: MlfsError): Promise<void> {
  const [{ diagnose }, { repairCommand }] = await Promise.all([
    import('../doctor/diagnosis.ts'),
    import('../doctor/repair-commands.ts'),
  ]);
  heading('Mounting does not work on this machine');
  say(error.message);
  const findings = await diagnose();
  for (const { name, state, detail } of findings) {
    if (state === 'problem') say(`${name}: ${detail}`);
  }
  say('ls, info, cat, verify and the library need no mount.');
  const command = repairCommand(findings);
  heading(command === undefined ? 'This says what is missing' : 'This makes mounting work');
  say(`$ ${command ?? 'mlfs doctor'}`);
}

async function readAsLibrary(checkpoint: string): Promise<void> {
  const { openCheckpoint } = await import('../index.ts');
  heading('Without a mount: the library');
  await using opened = await openCheckpoint(checkpoint);
  for (const { name, dtype, shape } of opened.tensors)
    say(`${name.padEnd(12)}  ${dtype}  [${shape.join(', ')}]`);
  const bytes = await opened.read('fc1.weight', { length: 16 });
  say(`fc1.weight starts with ${floats(bytes).join(', ')}`);
}

async function mountAndWalk(
  checkpoint: string,
  folder: string,
  transport: 'auto' | 'kernel' | 'fuse-native',
  interrupted: AbortSignal,
): Promise<void> {
  const [{ withMount }, { readdir, readFile, stat }, { createHash }, { join }] = await Promise.all([
    import('./trial-mount.ts'),
    import('node:fs/promises'),
    import('node:crypto'),
    import('node:path'),
  ]);
  await withMount(checkpoint, folder, { transport }, interrupted, async ({ mountpoint, mounted }) => {
    heading(`Mounted (${mounted.summary.transport} transport)`);
    say(`mlfs mount ${checkpoint} ${mountpoint}`);
    const walk = async (folder: string, depth: number): Promise<void> => {
      for (const name of (await readdir(folder)).sort()) {
        const found = await stat(join(folder, name));
        const size = found.isDirectory() ? '/' : `  ${found.size}`;
        say(`${'  '.repeat(depth)}${name}${size}`);
        if (found.isDirectory()) await walk(join(folder, name), depth + 1);
      }
    };
    await walk(mountpoint, 0);

    heading('Read like any file');
    say('$ cat sys/model_str');
    printText(await readFile(join(mountpoint, 'sys/model_str'), 'utf8'));
    const weight = await readFile(join(mountpoint, 'model/fc1/weight.bin'));
    say('$ sha256sum model/fc1/weight.bin');
    say(createHash('sha256').update(weight).digest('hex'));
    const written = MLP[0]?.fill as Buffer;
    if (!weight.equals(written)) {
      throw new MlfsError('ERR_MLFS_INTERNAL', 'the mount gave other bytes than were written');
    }
    say('the same bytes that were written');
    await editAndCommit(checkpoint, mountpoint);
  });
  await readEdited(checkpoint);
  heading('Unmounted, and everything is gone again');
}

async function editAndCommit(checkpoint: string, mountpoint: string): Promise<void> {
  const [{ MountClient }, { open, readFile }, { join }] = await Promise.all([
    import('../targets/mount-client.ts'),
    import('node:fs/promises'),
    import('node:path'),
  ]);
  heading('Edit it with what you have');
  const before = await readFile(checkpoint);
  say("$ printf '\\x00\\x00\\x80\\x3f' | dd of=model/fc2/bias.bin conv=notrunc");
  const bias = await open(join(mountpoint, 'model/fc2/bias.bin'), 'r+');
  await bias.write(Buffer.from(new Float32Array([1]).buffer), 0, 4, 0);
  await bias.close();
  const edits = new MountClient(mountpoint);
  say(`$ mlfs status ${mountpoint}`);
  for (const { name, bytes } of (await edits.status()).dirty_tensors)
    say(`${name}: ${plural(bytes, 'dirty byte')}`);
  const untouched = before.equals(await readFile(checkpoint));
  say(`the file on disk ${untouched ? 'is untouched, byte for byte' : 'was changed'}`);
  say(`$ mlfs commit ${mountpoint}`);
  const { bytes, checksums } = await edits.commit({});
  say(`committed ${plural(bytes, 'byte')} and ${plural(checksums, 'checksum')}`);
}

async function readEdited(checkpoint: string): Promise<void> {
  const [{ openCheckpoint }, { openCheckpoint: openFile }, { verifyCheckpoint }] = await Promise.all([
    import('../index.ts'),
    import('../checkpoint/open.ts'),
    import('../checkpoint/verify.ts'),
  ]);
  heading('The checkpoint file has it now');
  await using opened = await openCheckpoint(checkpoint);
  say(`fc2.bias starts with ${floats(await opened.read('fc2.bias', { length: 8 })).join(', ')}`);
  const file = await openFile(checkpoint);
  const { ok } = await verifyCheckpoint(file);
  await file.close();
  if (!ok) throw new MlfsError('ERR_MLFS_INTERNAL', 'a checksum is wrong after the commit');
  say('every CRC-32 is right');
}

/** The same numbers each time, so that checksums of demos can be compared. */
const MLP: readonly NamedTensorToWrite[] = [
  layer('fc1.weight', [64, 32]),
  layer('fc1.bias', [64]),
  layer('fc2.weight', [10, 64]),
  layer('fc2.bias', [10]),
];

function layer(name: string, shape: readonly number[]): NamedTensorToWrite {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, index) => Math.sin(index + 1) / Math.sqrt(count));
  return { name, dtype: 'float32', shape, fill: Buffer.from(values.buffer) };
}

function floats(bytes: Buffer): string[] {
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4).toFixed(4));
}

function heading(text: string): void {
  printText('\n');
  printStyled(text);
  printText('\n');
}

function say(text: string): void {
  printLine(`  ${text}`);
}
