// Loaded before a program: as soon as it has opened the file SWAP_PATH once, a link to SWAP_VICTIM takes the file's name.
// Whatever the program then does by that name it does to the other file.
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const { SWAP_PATH, SWAP_VICTIM } = process.env;
const { open } = promises;
let swapped = false;

promises.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  if (path === SWAP_PATH && !swapped) {
    swapped = true;
    fs.symlinkSync(SWAP_VICTIM, `${SWAP_PATH}.swap`);
    fs.renameSync(`${SWAP_PATH}.swap`, SWAP_PATH);
    process.stderr.write('swapped\n');
  }
  return handle;
};
syncBuiltinESMExports();
