/** Shell commands that make mounting possible. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PACKAGE_FOLDER } from '../own-package.ts';
import { rootHas } from './capabilities.ts';
import type { Finding } from './finding.ts';

/** A container cannot allow itself to mount: the user who starts it has to. */
const START_CONTAINER = 'docker run --device /dev/fuse --cap-add SYS_ADMIN IMAGE';

/** The major number of miscellaneous devices and FUSE's minor number (linux/miscdevice.h, FUSE_MINOR). */
const MAKE_DEVICE = 'mknod -m 666 /dev/fuse c 10 229';

/** `packages`: Debian's names. A new machine has no package lists, and old lists name files that no longer exist. */
export function installCommand(packages: readonly string[]): string {
  return `${asRoot('apt-get update')} && ${asRoot(`apt-get install -y ${packages.join(' ')}`)}`;
}

/** Builds the addon where this MLFS is installed. `packages`: the missing packages that it needs. */
export function buildAddonCommand(packages: readonly string[]): string {
  const build = `npm --prefix ${quoted(PACKAGE_FOLDER)} run install`;
  return packages.length === 0 ? build : `${installCommand(packages)} && ${build}`;
}

/** Makes `/dev/fuse` exist and work. */
export async function deviceCommand(): Promise<string> {
  const hasDriver = /\tfuse$/m.test(await readFile('/proc/filesystems', 'utf8').catch(() => ''));
  if (hasDriver && (await rootHas('SYS_ADMIN')) && (await rootHas('MKNOD'))) return asRoot(MAKE_DEVICE);
  return isContainer() ? START_CONTAINER : asRoot('modprobe fuse');
}

/** Gives a process the right to mount. */
export function privilegeCommand(): string {
  return START_CONTAINER;
}

export function asRoot(command: string): string {
  return process.getuid?.() === 0 ? command : `sudo ${command}`;
}

export function quoted(path: string): string {
  return /^[\w/.@+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** One command that repairs every problem found; undefined when none is known. */
export function repairCommand(findings: readonly Finding[]): string | undefined {
  const commands = findings.flatMap(({ state, command }) =>
    state === 'problem' && command !== undefined ? [command] : [],
  );
  // A new container loses what was installed in this one.
  if (commands.includes(START_CONTAINER)) return START_CONTAINER;
  return commands.length === 0 ? undefined : [...new Set(commands)].join(' && ');
}

function isContainer(): boolean {
  const marked = existsSync('/.dockerenv') || existsSync('/run/.containerenv');
  return marked || process.env.container !== undefined;
}
