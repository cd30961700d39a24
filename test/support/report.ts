import { relative } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** The results of the tests, from the events of node:test: one line for each file while it runs, failures and skips by name at the end. */
export class Report {
  passed = 0;
  failed = 0;
  skipped = 0;
  readonly #project: string;
  readonly #write: (text: string) => void;
  readonly #failures: string[] = [];
  readonly #skips: string[] = [];
  /** Names of the running suites and tests, by file. */
  readonly #open = new Map<string, string[]>();
  #file: string | undefined;
  #tallies = { passed: 0, failed: 0, skipped: 0 };

  constructor(project: string, write: (text: string) => void) {
    this.#project = project;
    this.#write = write;
  }

  take(event: TestEvent): void {
    switch (event.type) {
      case 'test:start':
        this.#names(event.data.file).length = event.data.nesting;
        this.#names(event.data.file)[event.data.nesting] = event.data.name;
        return;
      case 'test:pass':
      case 'test:fail':
        this.#takeResult(event);
        return;
      case 'test:diagnostic':
        // Events of the whole run have no file.
        if (event.data.file !== undefined) {
          this.#enter(event.data.file);
          this.#write(`  ${event.data.message}\n`);
        }
        return;
      case 'test:stderr':
      case 'test:stdout':
        process.stderr.write(event.data.message);
        return;
      default:
        return;
    }
  }

  fail(name: string, reason: string): void {
    this.failed++;
    this.#failures.push(`✖ ${name}\n${indent(reason)}`);
  }

  /** Prints the skipped tests, the failed tests and the closing line. */
  close(strict: boolean): void {
    this.#leave();
    if (this.#skips.length > 0) {
      this.#write(`\nSkipped${strict ? ', which is a failure on CI' : ''}:\n${this.#skips.join('\n')}\n`);
    }
    if (this.#failures.length > 0) this.#write(`\nFailed:\n${this.#failures.join('\n')}\n`);
    this.#write(`\n${tally(this)}\n`);
  }

  #takeResult({ type, data }: Extract<TestEvent, { type: 'test:pass' | 'test:fail' }>): void {
    this.#enter(data.file);
    const names = this.#names(data.file).slice(0, data.nesting);
    const title = [...names, data.name].join(' › ');
    const place = data.file === undefined ? '' : `${relative(this.#project, data.file)}: `;
    const isSuite = data.details.type === 'suite';
    if (data.skip !== undefined && data.skip !== false) {
      this.skipped++;
      this.#tallies.skipped++;
      this.#skips.push(
        `- ${place}${title}: ${data.skip === true || data.skip === '' ? 'skipped' : data.skip}`,
      );
    } else if (type === 'test:pass') {
      if (isSuite) return;
      this.passed++;
      this.#tallies.passed++;
    } else if (!failedOnlyBelow(data.details.error)) {
      this.#tallies.failed++;
      const reason = explain(data.details.error);
      // A run that is ended early has no list of failures.
      this.#write(`✖ ${place}${title}: ${reason.trim().split('\n', 1)[0]}\n`);
      this.fail(`${place}${title}`, reason);
    }
  }

  #names(file: string | undefined): string[] {
    const names = this.#open.get(file ?? '') ?? [];
    this.#open.set(file ?? '', names);
    return names;
  }

  #enter(file: string | undefined): void {
    if (file === undefined || file === this.#file) return;
    this.#leave();
    this.#file = file;
  }

  #leave(): void {
    if (this.#file !== undefined) {
      const mark = this.#tallies.failed > 0 ? '✖' : '✔';
      this.#write(`${mark} ${relative(this.#project, this.#file)}: ${tally(this.#tallies)}\n`);
    }
    this.#file = undefined;
    this.#tallies = { passed: 0, failed: 0, skipped: 0 };
  }
}

function tally({ passed, failed, skipped }: { passed: number; failed: number; skipped: number }): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** A suite, or a test with subtests, that failed because of its contents, which were reported already. */
function failedOnlyBelow(error: Error | undefined): boolean {
  return (error as { failureType?: string } | undefined)?.failureType === 'subtestsFailed';
}

function explain(error: Error | undefined): string {
  const cause = error?.cause ?? error;
  if (cause instanceof Error) return indent(cause.stack ?? cause.message);
  return indent(typeof cause === 'string' ? cause : inspect(cause));
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}
