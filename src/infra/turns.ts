// Turns: a crowd is let in a few at a time, so that everybody else's frames are read in between.

/**
 * Lets `perTurn` in during each turn of the event loop, in the order they came; the rest wait for the next turns. Where
 * there is no crowd nobody waits.
 */
export function createTurns(perTurn: number): () => Promise<void> {
  const waiting: (() => void)[] = [];
  let entered = 0;
  const nextTurn = (): void => {
    const going = waiting.splice(0, perTurn);
    entered = going.length;
    if (entered > 0) setImmediate(nextTurn);
    for (const go of going) go();
  };
  return () => {
    if (entered === 0) setImmediate(nextTurn);
    entered += 1;
    return entered <= perTurn ? Promise.resolve() : new Promise((go) => waiting.push(go));
  };
}
