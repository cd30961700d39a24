/** What one check of `mlfs doctor` found. */
export interface Finding {
  readonly name: string;
  /** `note`: something does not work that is not always needed. */
  readonly state: 'ok' | 'note' | 'problem';
  readonly detail: string;
  /** What to do, when there is something. */
  readonly advice?: string | undefined;
  /** What puts it right, as a shell takes it. */
  readonly command?: string;
}
