// Prints the commands of README.md's first code block under a heading with the word "commands", one a line.
// Usage: readme-commands.mjs README.md
import { readFileSync } from 'node:fs';

const lines = readFileSync(process.argv[2] ?? 'README.md', 'utf8').split('\n');
const heading = lines.findIndex((line) => /^#+ .*\bcommands\b/i.test(line));
const opening = lines.findIndex((line, index) => heading !== -1 && index > heading && line.startsWith('```'));
const closing = lines.findIndex((line, index) => opening !== -1 && index > opening && line.startsWith('```'));
if (closing === -1) throw new Error('there is no code block under a heading with the word "commands"');
for (const line of lines.slice(opening + 1, closing)) {
  if (line.trim() !== '') console.log(line);
}
