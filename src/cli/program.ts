/**
 * The command line. Each command is a file that registers itself, is loaded when its name is called, and loads what it works with when it
 * runs. Only here errors become exit codes.
 */
import { existsSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { EXIT, MlfsError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { visible } from '../visible-text.ts';
import { translateMountHelper } from './mount-helper.ts';
import { exitCodeOf, printError } from './print-error.ts';
import { translatePrototype } from './prototype.ts';
import { refuseRawArguments, refuseRawFolder } from './raw-arguments.ts';
import { refuseMountpoint } from './refuse-mountpoint.ts';
import { handleBrokenOutput, writeStdout } from './stdout.ts';
import { refuseStoppedMounts } from './stopped-mounts.ts';

/** What adds each command to the program, in the order of `mlfs --help`. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  mount: async () => (await import('./mount.ts')).registerMount,
  umount: async () => (await import('./umount.ts')).registerUmount,
  status: async () => (await import('./status.ts')).registerStatus,
  serve: async () => (await import('./serve.ts')).registerServe,
  commit: async () => (await import('./commit.ts')).registerCommit,
  discard: async () => (await import('./discard.ts')).registerDiscard,
  flush: async () => (await import('./flush.ts')).registerFlush,
  reload: async () => (await import('./reload.ts')).registerReload,
  ls: async () => (await import('./ls.ts')).registerLs,
  info: async () => (await import('./info.ts')).registerInfo,
  cat: async () => (await import('./cat.ts')).registerCat,
  verify: async () => (await import('./verify.ts')).registerVerify,
  check: async () => (await import('./check.ts')).registerCheck,
  seal: async () => (await import('./seal.ts')).registerSeal,
  diff: async () => (await import('./diff.ts')).registerDiff,
  doctor: async () => (await import('./doctor.ts')).registerDoctor,
  demo: async () => (await import('./demo.ts')).registerDemo,
  bench: async () => (await import('./bench.ts')).registerBench,
};

const ALIASES: Readonly<Record<string, string>> = { unmount: 'umount' };
const NAMES: ReadonlySet<string> = new Set([...Object.keys(COMMANDS), ...Object.keys(ALIASES)]);

/**
 * Runs one command line; resolves with its exit code. `typed`: `argv` are the last words of this process's own command line, so the kernel knows
 * their bytes.
 */
export async function run(argv: readonly string[], { typed = false } = {}): Promise<number> {
  handleBrokenOutput();
  try {
    if (typed) refuseRawArguments(argv);
    const words = translatePrototype(argv);
    const line = translateMountHelper(words, NAMES);
    if (typed) refuseRawFolder(line);
    refuseUnknown(line);
    const program = await createProgram(line[0]);
    await program.parseAsync(line, { from: 'user' });
    return exitCode();
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode() : EXIT.usage;
    printError(error);
    return exitCodeOf(error);
  }
}

/** The program with the command that is called `name`, or with all if there is none. */
async function createProgram(name = ''): Promise<Command> {
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
  const chosen = COMMANDS[ALIASES[name] ?? name];
  const loads = chosen === undefined ? Object.values(COMMANDS) : [chosen];
  for (const register of await Promise.all(loads.map((load) => load()))) register(program);
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
function refuseUnknown(words: readonly string[]): void {
  const [first = '', second = ''] = words;
  const known = (word: string) => word === '' || word.startsWith('-') || word === 'help' || NAMES.has(word);
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
