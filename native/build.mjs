// Builds the data plane. Without a compiler this says what to do in a line and succeeds: MLFS then serves through the fuse-native
// transport. `--if-changed` leaves an addon alone that is newer than all its sources.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const nativeDir = path.dirname(fileURLToPath(import.meta.url));
if (!process.argv.includes('--if-changed') || isChanged()) build();

function isChanged() {
  const addon = path.join(nativeDir, 'build/Release/mlfs_native.node');
  if (!existsSync(addon)) return true;
  const builtAt = statSync(addon).mtimeMs;
  const sources = readdirSync(nativeDir).filter((name) => /\.(cc|h|gyp)$/.test(name));
  return sources.some((name) => statSync(path.join(nativeDir, name)).mtimeMs > builtAt);
}

function build() {
  // The headers that belong to the running Node, so that nothing is downloaded.
  const nodePrefix = path.resolve(process.execPath, '..', '..');
  const ownHeaders = existsSync(path.join(nodePrefix, 'include', 'node', 'node_api.h'));

  const args = ['rebuild', `--directory=${nativeDir}`, '--silent'];
  if (ownHeaders) args.push(`--nodedir=${nodePrefix}`);

  // Set to get an older dependency built (mmap-io wants -std=c++17); ours says its standard itself.
  const { CXXFLAGS: _, ...env } = process.env;

  const missing = ['make', 'python3', process.env.CXX ?? 'g++'].filter((program) => !runs(program));
  if (missing.length > 0) return complain(`there is no ${missing.join(', no ')}`);

  console.log('mlfs: building the native data plane, which takes about a minute');
  // npm puts its own node-gyp on the PATH of scripts.
  const built = spawnSync('node-gyp', args, { encoding: 'utf8', env });
  if (!built.error && built.status === 0) return;
  if (process.env.MLFS_BUILD_VERBOSE || process.env.CI) {
    process.stderr.write(`${built.stdout ?? ''}${built.stderr ?? ''}${built.error ?? ''}\n`);
  }
  complain('its build failed; MLFS_BUILD_VERBOSE=1 shows how');
}

/** `program` may have arguments, as in CXX="ccache g++". */
function runs(program) {
  return spawnSync(`${program} --version`, { shell: true, stdio: 'ignore' }).status === 0;
}

function complain(reason) {
  process.stderr.write(
    `mlfs: the native data plane was not built: ${reason}. Mounts use the slower fuse-native package where it is installed.\n`,
  );
}
