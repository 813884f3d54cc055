// Who is asking: the authenticated account and session that every scoped lookup starts from.

export interface Actor {
  /** The account's public number, > 0. */
  readonly uid: number;
  /** The login this request came from. */
  readonly sessionId: number;
  /** False until the one-time code sent at sign-up was entered. */
  readonly verified: boolean;
}

/** What a client shows to say which login it is: its account, where it names one, and a cookie or a token. */
export interface Credentials {
  readonly uid: number | null;
  readonly cookie?: string;
  readonly token?: string;
}
