// Builds the data plane when MLFS is installed. Without a compiler this says one line and succeeds:
// MLFS then serves through the fuse-native transport.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const nativeDir = path.dirname(fileURLToPath(import.meta.url));
// The headers that belong to the running Node, so that nothing is downloaded.
const nodePrefix = path.resolve(process.execPath, '..', '..');
const ownHeaders = existsSync(path.join(nodePrefix, 'include', 'node', 'node_api.h'));

const args = ['rebuild', `--directory=${nativeDir}`, '--silent'];
if (ownHeaders) args.push(`--nodedir=${nodePrefix}`);

// Set to get an older dependency built (mmap-io wants -std=c++17); ours says its standard itself.
const { CXXFLAGS: _, ...env } = process.env;

// npm puts its own node-gyp on the PATH of install scripts.
const build = spawnSync('node-gyp', args, { encoding: 'utf8', env });
if (build.error || build.status !== 0) {
  if (process.env.MLFS_BUILD_VERBOSE || process.env.CI) {
    process.stderr.write(`${build.stdout ?? ''}${build.stderr ?? ''}${build.error ?? ''}\n`);
  }
  process.stderr.write(
    'mlfs: the native data plane was not built (no C++ compiler?); the fuse-native transport serves instead. MLFS_BUILD_VERBOSE=1 shows why.\n',
  );
}
