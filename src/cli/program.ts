/**
 * The command line. Each command is a file that registers itself and loads its imports when it runs, so that `mlfs ls` does not load what
 * only `mlfs mount` needs. Only here errors become exit codes.
 */
import { existsSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, MlfsError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { visible } from '../visible-text.ts';
import { registerBench } from './bench.ts';
import { registerCat } from './cat.ts';
import { registerCheck } from './check.ts';
import { registerCommit } from './commit.ts';
import { registerDemo } from './demo.ts';
import { registerDiff } from './diff.ts';
import { registerDiscard } from './discard.ts';
import { registerDoctor } from './doctor.ts';
import { registerFlush } from './flush.ts';
import { registerInfo } from './info.ts';
import { registerLs } from './ls.ts';
import { registerMount } from './mount.ts';
import { translateMountHelper } from './mount-helper.ts';
import { exitCodeOf, printError } from './print-error.ts';
import { translatePrototype } from './prototype.ts';
import { refuseRawArguments, refuseRawFolder } from './raw-arguments.ts';
import { refuseMountpoint } from './refuse-mountpoint.ts';
import { registerReload } from './reload.ts';
import { registerSeal } from './seal.ts';
import { registerServe } from './serve.ts';
import { registerStatus } from './status.ts';
import { handleBrokenOutput, writeStdout } from './stdout.ts';
import { refuseStoppedMounts } from './stopped-mounts.ts';
import { registerUmount } from './umount.ts';
import { registerVerify } from './verify.ts';

const REGISTRARS = [
  registerMount,
  registerUmount,
  registerStatus,
  registerServe,
  registerCommit,
  registerDiscard,
  registerFlush,
  registerReload,
  registerLs,
  registerInfo,
  registerCat,
  registerVerify,
  registerCheck,
  registerSeal,
  registerDiff,
  registerDoctor,
  registerDemo,
  registerBench,
];

/**
 * Runs one command line; resolves with its exit code. `typed`: `argv` are the last words of this process's own command line, so the kernel knows
 * their bytes.
 */
export async function run(argv: readonly string[], { typed = false } = {}): Promise<number> {
  handleBrokenOutput();
  try {
    if (typed) refuseRawArguments(argv);
    const words = translatePrototype(argv);
    const program = createProgram();
    const names = new Set(program.commands.flatMap((command) => [command.name(), ...command.aliases()]));
    const line = translateMountHelper(words, names);
    if (typed) refuseRawFolder(line);
    refuseUnknown(line, names);
    await program.parseAsync(line, { from: 'user' });
    return exitCode();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode() : EXIT.usage;
    printError(error);
    return exitCodeOf(error);
  }
}

function createProgram(): Command {
  const program = new Command('mlfs')
    .description('Mount a PyTorch checkpoint as a directory: layers are folders, tensors are files.')
    .version(`mlfs ${VERSION}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .showHelpAfterError('  try: mlfs --help')
    .configureOutput({
      writeOut: (text) => void writeStdout(text),
      outputError: (text, write) => write(`${usageError(text)}\n`),
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Examples:
  mlfs demo                         make a small model, mount it and read it
  mlfs mount model.pt /mnt/m        fc.weight is the file /mnt/m/model/fc/weight.bin
  mlfs status /mnt/m                which tensors have edits
  mlfs commit /mnt/m                write the edits into model.pt
  mlfs umount /mnt/m                unmount
  mlfs ls model.pt layers.0         list tensors without a mount

Exit codes: 0 ok, 1 failure, 2 usage, 3 malformed or unsafe file, 4 conflict, busy or stale, 5 needs recovery.
MLFS_DEBUG=1 prints a stack trace with an error.`,
    );
  for (const register of REGISTRARS) register(program);
  program.hook('preAction', async (_program, command) => {
    // A mount that is to be unmounted need not answer.
    if (command.name() !== 'umount') await refuseStoppedMounts(command.args);
    const [word] = command.args;
    if (word !== undefined && takesFile(command)) await refuseMountpoint(command.name(), word);
  });
  for (const command of program.commands) {
    command.showHelpAfterError(`  try: mlfs ${command.name()} --help`);
  }
  return program;
}

/** commander's message, which quotes words of the command line. A suggestion gets its own line. */
function usageError(text: string): string {
  const lines = text.trimEnd().split(/\n(?=\(Did you mean )/);
  return lines.map((line) => visible(line.replace(/^error: /, 'mlfs: '))).join('\n');
}

/** Whether the first argument is a checkpoint file and never a mount point. */
function takesFile(command: Command): boolean {
  const name = command.name();
  return FILE_COMMANDS.has(name) || (name === 'verify' && command.opts().seal === undefined);
}

const FILE_COMMANDS = new Set(['ls', 'info', 'cat', 'bench']);

/** Throws ERR_MLFS_USAGE for the name of a file in place of a command, and for `mlfs help` of an unknown command. */
function refuseUnknown(words: readonly string[], commands: ReadonlySet<string>): void {
  const [first = '', second = ''] = words;
  const known = (word: string) =>
    word === '' || word.startsWith('-') || word === 'help' || commands.has(word);
  if (!known(first) && existsSync(first)) {
    throw new MlfsError('ERR_MLFS_USAGE', `unknown command '${first}'`, {
      advice: `mlfs mount ${words.join(' ')}`,
    });
  }
  if (first === 'help' && !known(second)) {
    throw new MlfsError('ERR_MLFS_USAGE', `unknown command '${second}'`, { advice: 'mlfs --help' });
  }
}

/** What the command set, or a failure to write its output. */
function exitCode(): number {
  return Number(process.exitCode ?? EXIT.ok);
}
