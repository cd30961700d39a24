/**
 * Where the files of this package are. Its code runs from `src/`, or as bundled from `dist/`, where it may be in any chunk: so no other file finds its
 * neighbours by its own place.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SELF = fileURLToPath(import.meta.url);

/** The package's root: the folder of package.json and native/. */
export const PACKAGE_FOLDER = folderOfPackage(dirname(SELF));

function folderOfPackage(folder: string): string {
  const above = dirname(folder);
  return above === folder || existsSync(join(folder, 'package.json')) ? folder : folderOfPackage(above);
}

/**
 * The file of a program that this package runs in another process, given by its path in `src` without extension, such as `cli/main`. Each is an
 * entry point in `setup/bundle.mjs`.
 */
export function ownProgram(name: string): string {
  return SELF.endsWith('.ts')
    ? join(PACKAGE_FOLDER, 'src', `${name}.ts`)
    : join(PACKAGE_FOLDER, 'dist', `${name}.js`);
}

/**
 * The same for a program that runs in a thread. The loader that reads TypeScript is not there in threads, so code that runs from `src/` takes what tsc
 * made of it.
 */
export function ownThread(name: string): string {
  return SELF.endsWith('.ts') ? join(PACKAGE_FOLDER, 'build/modules', `${name}.js`) : ownProgram(name);
}
