/**
 * What a test needs from the machine. `test(name, requires('unzip', 'fuse'), …)` skips the test with a reason if something is missing; the
 * run lists it by name, and on CI it counts as a failure.
 *
 * A need is the name of a program on the PATH, a Debian package `python3-NAME` that /usr/bin/python3 can import, or one of NEEDS.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Debian's Python, which finds Debian's packages; `python3` on the PATH may be a different one. */
export const DEBIAN_PYTHON = '/usr/bin/python3';

/** Other people's checkpoints, which are not part of the project: $MLFS_CORPUS, or shared/corpus beside the checkout. */
export const CORPUS =
  process.env.MLFS_CORPUS ?? fileURLToPath(new URL('../../../shared/corpus', import.meta.url));

const ADDON = fileURLToPath(new URL('../../native/build/Release/mlfs_native.node', import.meta.url));

/** Where cgroup v1 has its memory controller. */
export const MEMORY_CGROUP = '/sys/fs/cgroup/memory';

const NEEDS: Readonly<Record<string, () => boolean>> = {
  fuse: () => opens('/dev/fuse') || (existsSync('/dev/fuse') && onPath('fusermount3')),
  addon: () => existsSync(ADDON),
  'fuse-native': () => existsSync(packageFolder('fuse-native')),
  'mmap-io': () => existsSync(join(packageFolder('mmap-io'), 'build/Release/mmap-io.node')),
  sshd: () => onPath('sshd') || executable('/usr/sbin/sshd'),
  root: () => process.getuid?.() === 0,
  'kernel view': () =>
    opens('/dev/loop-control') && /\terofs$/m.test(readFileSync('/proc/filesystems', 'utf8')),
  corpus: () => existsSync(CORPUS),
  'memory cgroup': () => writable(join(MEMORY_CGROUP, 'cgroup.procs')),
};

const known = new Map<string, boolean>();

/** Options of a node:test test: `{ skip: 'needs X' }`, or `{}` if nothing is missing. */
export function requires(...tools: string[]): { skip?: string } {
  const missing = tools.filter((tool) => !has(tool));
  return missing.length === 0 ? {} : { skip: `needs ${missing.join(', ')}` };
}

function has(tool: string): boolean {
  let answer = known.get(tool);
  if (answer === undefined) {
    answer = look(tool);
    known.set(tool, answer);
  }
  return answer;
}

function look(tool: string): boolean {
  const need = NEEDS[tool];
  if (need !== undefined) return need();
  const module = /^python3-(.+)$/.exec(tool)?.[1];
  return module === undefined ? onPath(tool) : imports(module);
}

function onPath(program: string): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.some((folder) => executable(join(folder, program)));
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function opens(path: string): boolean {
  try {
    closeSync(openSync(path, 'r+'));
    return true;
  } catch {
    return false;
  }
}

function imports(module: string): boolean {
  return spawnSync(DEBIAN_PYTHON, ['-c', `import ${module}`], { stdio: 'ignore' }).status === 0;
}

function packageFolder(name: string): string {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  return folders.map((folder) => join(folder, name)).find((folder) => existsSync(folder)) ?? `/no/${name}`;
}
