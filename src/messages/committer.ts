// Group commit: all messages that arrive in one turn of the event loop go to disk in one transaction.
import type { AppendOutcome, MessageDraft, MessageStore } from '../store/chat-store.ts';

type Appended = Extract<AppendOutcome, { kind: 'appended' }>;

/** What a message of the batch is followed by, each in the order of the log. */
export interface Followers {
  /** Its outcome when it is on disk, or the error that kept it off. */
  readonly settled: (outcome: AppendOutcome | Error) => void;
  /** After every message of the batch was settled: measured faster than one after the other. */
  readonly published: (appended: Appended) => void;
}

interface Pending {
  readonly draft: MessageDraft;
  readonly followers: Followers;
}

export class Committer {
  #batch: Pending[] = [];
  #scheduled = false;
  #committing: Promise<void> = Promise.resolve();

  constructor(private readonly store: MessageStore) {}

  /** Fixes the message's place in the order; it is written at the end of this turn. */
  append(draft: MessageDraft, followers: Followers): void {
    this.#batch.push({ draft, followers });
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#commit();
    });
  }

  /** Writes what is held and waits until all of it is on disk. */
  async flush(): Promise<void> {
    this.#commit();
    await this.#committing;
  }

  /** Batches reach the store's queue in the order they were made, and settle in it. */
  #commit(): void {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    const done = this.store
      .appendMessages(
        batch.map(({ draft }) => draft),
        (outcomes) => {
          outcomes.forEach((outcome, index) => {
            batch[index]?.followers.settled(outcome);
          });
          outcomes.forEach((outcome, index) => {
            if (outcome.kind === 'appended') batch[index]?.followers.published(outcome);
          });
        },
      )
      .catch((error: unknown) => {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const { followers } of batch) followers.settled(failure);
      });
    this.#committing = Promise.all([this.#committing, done]).then(() => undefined);
  }
}
