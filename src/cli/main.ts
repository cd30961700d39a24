#!/usr/bin/env node
/**
 * The process of a command. It loads only what its line needs: nothing but the version for `--version`, and for a mount it starts the process
 * that will serve before it loads what reads the rest of the line.
 */
import { VERSION } from '../version.ts';
import { handleBrokenOutput, writeStdout } from './stdout.ts';

// The stacks that MLFS_DEBUG=1 prints name lines of src/.
if (process.env.MLFS_DEBUG) process.setSourceMapsEnabled(true);

/** A line with one of these words starts no server. When another one needs none, the server is dropped. */
const NO_SERVER = /^(--help|--foreground|-h|-\w*f)$/;

const words = process.argv.slice(2);
if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) {
  handleBrokenOutput();
  await writeStdout(`mlfs ${VERSION}\n`);
} else {
  const serves = words[0] === 'mount' && !words.some((word) => NO_SERVER.test(word));
  const server = serves ? await import('./server-child.ts') : undefined;
  server?.prepareServer();
  const { run } = await import('./program.ts');
  process.exitCode = await run(words, { typed: true });
  server?.dropServer();
}
