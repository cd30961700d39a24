export interface PresenceOptions {
  /** How long nobody has to ask for a call until nobody serves. */
  readonly patienceMs: number;
  /** Whether a worker waits or computes. */
  readonly working: () => boolean;
  readonly said: (present: boolean) => void;
}

/** Workers ask for a call again and again; whether any is there is told when that begins and when it has ended. */
export class WorkerPresence {
  readonly #options: PresenceOptions;
  #gone: NodeJS.Timeout | undefined;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /** A worker asked. */
  seen(): void {
    if (this.#gone === undefined) this.#options.said(true);
    clearTimeout(this.#gone);
    this.#gone = setTimeout(() => this.#look(), this.#options.patienceMs).unref();
  }

  end(): void {
    clearTimeout(this.#gone);
  }

  #look(): void {
    this.#gone = undefined;
    if (this.#options.working())
      this.#gone = setTimeout(() => this.#look(), this.#options.patienceMs).unref();
    else this.#options.said(false);
  }
}
