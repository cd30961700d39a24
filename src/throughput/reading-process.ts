/** The program that reads. It is a separate process, so that neither the server nor the calling command is measured. */
import { readFileSync } from 'node:fs';
import { carryOut } from './read.ts';
import type { ReadPlan } from './read-plan.ts';

const plan = JSON.parse(readFileSync(0, 'utf8')) as ReadPlan;
process.stdout.write(JSON.stringify(carryOut(plan)));
