// Group commit: messages that arrive in one turn of the event loop go to disk in one transaction, as far as time allows.
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
  readonly dueAt: number;
  readonly followers: Followers;
}

/** How long a batch should take, pushes included: so long everybody else waits who sends meanwhile. */
const batchMs = 5;
const batchSizes = { least: 16, most: 4096 } as const;

export class Committer {
  #waiting: Pending[] = [];
  #writing = 0;
  #scheduled = false;
  #committing: Promise<void> = Promise.resolve();
  /** How many messages the next batch may have; more wait, and who sends too fast waits longest. */
  #size: number = batchSizes.most;

  constructor(private readonly store: MessageStore) {}

  /**
   * Fixes the message's place among its sender's; it is written at the end of this turn, or of a later one.
   * @param dueAt when its sender is within his rate, never falling for one sender: the earlier come first
   */
  append(draft: MessageDraft, dueAt: number, followers: Followers): void {
    this.#waiting.push({ draft, dueAt, followers });
    this.#schedule();
  }

  /** How many messages are neither on disk nor refused yet. */
  get unsettled(): number {
    return this.#waiting.length + this.#writing;
  }

  /** Writes what is held and waits until all of it is on disk. */
  async flush(): Promise<void> {
    this.#commit(this.#waiting.splice(0));
    await this.#committing;
  }

  /** One batch at a time: the frames that came meanwhile are read before the next. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      void this.#commit(this.#nextBatch()).then(() => {
        this.#scheduled = false;
        if (this.#waiting.length > 0) this.#schedule();
      });
    });
  }

  #nextBatch(): Pending[] {
    if (this.#waiting.length > this.#size) this.#waiting.sort((one, other) => one.dueAt - other.dueAt);
    return this.#waiting.splice(0, this.#size);
  }

  /** Batches reach the store's queue in the order they were made, and settle in it. */
  #commit(batch: readonly Pending[]): Promise<void> {
    if (batch.length === 0) return this.#committing;
    const begun = performance.now();
    this.#writing += batch.length;
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
          this.#resize(batch.length, performance.now() - begun);
        },
      )
      .catch((error: unknown) => {
        const failure = error instanceof Error ? error : new Error(String(error));
        for (const { followers } of batch) followers.settled(failure);
      })
      .finally(() => {
        this.#writing -= batch.length;
      });
    this.#committing = Promise.all([this.#committing, done]).then(() => undefined);
    return this.#committing;
  }

  /** Halves towards what fits into the time, and doubles while batches of full size take less. */
  #resize(length: number, tookMs: number): void {
    if (tookMs > batchMs) this.#size = Math.max(batchSizes.least, Math.floor((length * batchMs) / tookMs));
    else if (length === this.#size) this.#size = Math.min(batchSizes.most, this.#size * 2);
  }
}
