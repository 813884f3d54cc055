// What one receiver got of a chat, position by position: what is missing, what came twice, what came too late.

export class Positions {
  duplicated = 0;
  disordered = 0;
  /** The highest position so far. */
  cursor: number;
  readonly #missing = new Set<number>();
  readonly #last = { own: 0, others: 0 };

  /** `start`: the position after which this receiver gets everything. */
  constructor(start = 0) {
    this.cursor = start;
  }

  /**
   * Takes one. A sender has its own messages as acknowledgements, which may overtake the others' messages: the order
   * must hold in each of the two streams, and together they must be complete.
   */
  take(position: number, stream: 'own' | 'others' = 'others'): void {
    if (position > this.cursor) {
      for (let between = this.cursor + 1; between < position; between += 1) this.#missing.add(between);
      this.cursor = position;
    } else if (!this.#missing.delete(position)) {
      this.duplicated += 1;
      return;
    }
    if (position < this.#last[stream]) this.disordered += 1;
    this.#last[stream] = position;
  }

  /** Notes that this receiver was told that it has to fetch what is missing up to a position. */
  skipTo(position: number): void {
    this.cursor = Math.max(this.cursor, position);
  }

  /** How many up to `last` have not come. */
  lost(last: number): number {
    return this.#missing.size + Math.max(0, last - this.cursor);
  }
}
