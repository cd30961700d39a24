import { createRequire } from 'node:module';

/** MLFS's own version, as package.json has it. */
export const VERSION: string = (
  createRequire(import.meta.url)('../package.json') as { readonly version: string }
).version;
