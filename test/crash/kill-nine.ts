/** The long run of kill -9, a part of `npm run test:crash`: `node --import tsx test/crash/kill-nine.ts [ROUNDS [SEED]]`. Prints the counts and the seed. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { killRounds } from './killed-server.ts';

const [rounds = '300', seed = String(randomInt(2 ** 31))] = process.argv.slice(2);
process.stdout.write(`seed ${seed}\n`);
const counts = await killRounds(Number(rounds), Number(seed), (line) => process.stdout.write(`${line}\n`));
assert.ok(counts.roundsWithDurableEdits >= counts.rounds / 4, 'too few rounds had durable edits');
process.stdout.write(`seed ${seed}: ${JSON.stringify(counts)}\n`);
