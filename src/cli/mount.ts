import { type Command, InvalidArgumentError, Option } from 'commander';
import { MlfsError } from '../errors.ts';
import type { MountOptions } from '../mount/mount-options.ts';
import type { MountSummary } from '../mount/mounted.ts';
import { LEVELS, type Level } from '../telemetry/log.ts';
import { absolutePath } from './absolute-path.ts';
import { type DashO, type OtherWord, parseDashO, unknownWord } from './dash-o.ts';
import { endingAfter } from './ending-signals.ts';
import { notice } from './notice.ts';
import { printJson, printLine } from './output.ts';
import { humanBytes, plural } from './printable.ts';
import { dropServer } from './server-child.ts';

interface MountFlags {
  readonly foreground?: boolean;
  readonly option?: string[];
  readonly transport: 'auto' | 'kernel' | 'fuse-native';
  readonly kernelView: 'auto' | 'off';
  readonly nonempty?: boolean;
  readonly stateDict?: string;
  readonly cacheSize?: number;
  readonly debug?: boolean;
  readonly json?: boolean;
  readonly wait?: boolean;
  readonly readOnly?: boolean;
  readonly state?: string;
  readonly journalLimit?: number;
  readonly writeBack?: boolean;
  /** The prototype's name for writeBack. */
  readonly unsafeWrite?: boolean;
  readonly follow?: boolean;
  readonly rpcTimeout?: number;
  readonly metrics?: string;
  readonly logLevel?: Level;
}

/** `mlfs mount CHECKPOINT DIRECTORY`. */
export function registerMount(program: Command): void {
  program
    .command('mount')
    .description('mount a checkpoint on a directory; the server runs in the background')
    .argument('<checkpoint>', 'a .pt, .pth, .bin, .safetensors … file')
    .argument('<directory>', 'an empty directory')
    .option('-f, --foreground', 'stay in the foreground; Ctrl-C unmounts')
    .option('--read-only', 'show the file as it is; make no state directory')
    .option('--write-back', 'commit the edits when the mount ends')
    .option('--follow', 'when the checkpoint is replaced or rewritten, show the new file')
    .option('--state <dir>', 'state directory: where edits are kept (default CHECKPOINT.mlfs)', absolutePath)
    .option(
      '--journal-limit <size>',
      'maximum disk space for edits, such as 2G (default no limit)',
      parseSize,
    )
    .option(
      '--metrics <address>',
      'serve Prometheus metrics over HTTP at PORT or HOST:PORT (port 0: any free port)',
    )
    .option(
      '--rpc-timeout <seconds>',
      'how long a reader in /rpc waits for an answer (default 60)',
      parseSeconds,
    )
    .option(
      '-o, --option <list>',
      'options as for mount(8): ro, rw, allow_other, default_permissions, nonempty, fsname=NAME, or any long option of this command (follow, journal_limit=2G)',
      collect,
    )
    .addOption(
      new Option('--transport <name>', 'how to reach the kernel')
        .choices(['auto', 'kernel', 'fuse-native'])
        .default('auto'),
    )
    .addOption(
      new Option('--kernel-view <choice>', 'let the kernel read the tensors of a read-only mount by itself')
        .choices(['auto', 'off'])
        .default('auto'),
    )
    .option('--nonempty', 'mount on a directory that is not empty')
    .option('--state-dict <key>', 'which state dict /model shows, if the checkpoint has several')
    .option(
      '--cache-size <size>',
      'maximum memory for inflated and gathered tensors, such as 64M (default 256M)',
      parseSize,
    )
    .addOption(
      new Option(
        '--log-level <level>',
        'least important level that /logs/fuse.log keeps (default info)',
      ).choices(LEVELS),
    )
    .option('-d, --debug', '--log-level debug: a line for each request; in the foreground to stderr')
    .option('--json', 'print JSON')
    .addOption(new Option('--wait', 'accepted: mount always waits until the mount answers').hideHelp())
    .addOption(new Option('--unsafe-write', '--write-back, as the prototype called it').hideHelp())
    .addHelpText(
      'after',
      `
Examples:
  mlfs mount model.pt /mnt/m
  mlfs mount -f -o allow_other,fsname=llama model.safetensors /mnt/m
  mlfs --model model.pt --mount /mnt/m --foreground

-o allow_other lets other users in. The kernel then checks mode bits and owners: allow_other always implies default_permissions.
Users other than root need the line user_allow_other in /etc/fuse.conf.`,
    )
    .action(mountCheckpoint);
}

async function mountCheckpoint(
  checkpoint: string,
  directory: string,
  given: MountFlags,
  command: Command,
): Promise<void> {
  const dashO = parseDashO(given.option ?? []);
  for (const word of dashO.others) setLongOption(command, word);
  const flags = command.opts<MountFlags>();
  const options = mountOptions(flags, dashO);
  if (options.readOnly && options.writeBack) {
    notice(`--${flags.writeBack ? 'write-back' : 'unsafe-write'} has no effect on a read-only mount`);
  }
  const onMounted = (mountpoint: string, summary: MountSummary) => {
    if (flags.json) printJson({ checkpoint, mountpoint, ...summary });
    else printLine(mountedLine(checkpoint, directory, summary));
  };
  if (flags.foreground) {
    const { serveInForeground } = await import('./foreground.ts');
    // `-o foreground` is not known before the line is parsed.
    dropServer();
    await serveInForeground(checkpoint, directory, options, { onMounted, notice });
    return;
  }
  const { mountInBackground } = await import('./background.ts');
  await endingAfter(async (interrupted) => {
    const mounted = await mountInBackground(checkpoint, directory, options, notice, interrupted);
    onMounted(mounted.mountpoint, mounted.summary);
  });
}

function mountedLine(checkpoint: string, directory: string, summary: MountSummary): string {
  const { tensors, bytes, milliseconds, metricsUrl } = summary;
  const metrics = metricsUrl === undefined ? '' : `, metrics at ${metricsUrl}`;
  return `mounted ${checkpoint} at ${directory}: ${plural(tensors, 'tensor')}, ${humanBytes(bytes)}, ${milliseconds} ms${metrics}`;
}

/** Treats `-o journal_limit=2G` as `--journal-limit 2G`; a long option on the command line takes precedence. */
function setLongOption(command: Command, { name, value }: OtherWord): void {
  const word = value === undefined ? name : `${name}=${value}`;
  const long = `--${name.replaceAll('_', '-')}`;
  const option = command.options.find((one) => one.long === long);
  if (option === undefined || long === '--option' || option.isBoolean() !== (value === undefined)) {
    throw unknownWord(word);
  }
  const attribute = option.attributeName();
  const source = command.getOptionValueSource(attribute);
  // When a word occurs twice in -o, the last one counts.
  if (source !== undefined && source !== 'default' && source !== 'config') return;
  try {
    const parsed = value === undefined ? true : (option.parseArg?.(value, undefined) ?? value);
    command.setOptionValueWithSource(attribute, parsed, 'config');
  } catch (cause) {
    if (!(cause instanceof InvalidArgumentError)) throw cause;
    throw new MlfsError('ERR_MLFS_USAGE', `-o ${word}: ${cause.message}`, { cause });
  }
}

function mountOptions(flags: MountFlags, dashO: DashO): MountOptions {
  return {
    transport: flags.transport,
    kernelView: flags.kernelView,
    readOnly: flags.readOnly ?? dashO.readOnly ?? false,
    writeBack: flags.writeBack ?? flags.unsafeWrite ?? false,
    follow: flags.follow ?? false,
    allowOther: dashO.allowOther ?? false,
    defaultPermissions: dashO.defaultPermissions ?? false,
    nonEmpty: flags.nonempty ?? dashO.nonEmpty ?? false,
    logLevel: flags.debug ? 'debug' : (flags.logLevel ?? 'info'),
    fsname: dashO.fsname,
    stateDirectory: flags.state,
    metricsAddress: flags.metrics,
    rpcTimeoutMs: flags.rpcTimeout && flags.rpcTimeout * 1000,
    journalLimitBytes: flags.journalLimit,
    stateDict: flags.stateDict,
    cacheBytes: flags.cacheSize,
    logSink: flags.debug && flags.foreground ? (line: string) => void process.stderr.write(line) : undefined,
  };
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** Parses `64M`, `1.5G`, `4096`: powers of 1,024. */
export function parseSize(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Math.round(Number(number) * 1024 ** ' kmgt'.indexOf(unit.toLowerCase() || ' '));
  if (!Number.isSafeInteger(bytes))
    throw new InvalidArgumentError('It must be a number of bytes, or a number with k, M, G or T.');
  return bytes;
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  // setTimeout accepts at most 2^31 - 1 ms.
  if (!(seconds > 0 && seconds <= 2_000_000))
    throw new InvalidArgumentError('It must be a number of seconds, such as 60 or 0.5.');
  return seconds;
}
