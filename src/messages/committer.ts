// Group commit: all messages that arrive in one turn of the event loop go to disk in one transaction.
import type { AppendOutcome, MessageDraft, MessageStore } from '../store/store.ts';

/** Told once per message, in the order of the log: its outcome when it is on disk, or the error that kept it off. */
export type Settled = (outcome: AppendOutcome | Error) => void;

interface Pending {
  readonly draft: MessageDraft;
  readonly settled: Settled;
}

export class Committer {
  #batch: Pending[] = [];
  #scheduled = false;
  #committing: Promise<void> = Promise.resolve();

  constructor(private readonly store: MessageStore) {}

  /** Fixes the message's place in the order; it is written at the end of this turn. */
  append(draft: MessageDraft, settled: Settled): void {
    this.#batch.push({ draft, settled });
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
          for (const [index, outcome] of outcomes.entries()) batch[index]?.settled(outcome);
        },
      )
      .catch((error: unknown) => {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const { settled } of batch) settled(failure);
      });
    this.#committing = Promise.all([this.#committing, done]).then(() => undefined);
  }
}
