/** The result of one check of `mlfs doctor`. */
export interface Finding {
  readonly name: string;
  /** `note`: something that is not always needed does not work. */
  readonly state: 'ok' | 'note' | 'problem';
  readonly detail: string;
  /** Advice, when there is any. */
  readonly advice?: string | undefined;
  /** The shell command that repairs it. */
  readonly command?: string;
}
