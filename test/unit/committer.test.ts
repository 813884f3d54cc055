// Who goes first when there is more to write than fits into a turn.
import { expect, test } from 'bun:test';
import { Committer } from '../../src/messages/committer.ts';
import type { MessageDraft, MessageStore } from '../../src/store/chat-store.ts';

/** A log that takes 1 ms for each message, in the order they are written. */
function slowLog() {
  const batches: string[][] = [];
  const appendMessages: MessageStore['appendMessages'] = async (drafts, committed) => {
    batches.push(drafts.map(({ body }) => body));
    Bun.sleepSync(drafts.length);
    committed(drafts.map(() => ({ kind: 'not_member' as const })));
  };
  return { batches, store: { appendMessages } as unknown as MessageStore };
}

function draft(senderUid: number, body: string): MessageDraft {
  const ref = { kind: 'group' as const, groupId: '1000000000000' };
  return { senderUid, ref, body, mayCreateChat: false, sentAt: 0, clientMessageId: null };
}

test('a batch that would take too long is written in parts, the due first', async () => {
  const { batches, store } = slowLog();
  const committer = new Committer(store);
  const done = Promise.withResolvers<void>();
  let left = 161;
  const send = (uid: number, body: string, dueAt: number) =>
    committer.append(draft(uid, body), dueAt, {
      settled: () => --left === 0 && done.resolve(),
      published: () => undefined,
    });
  for (let count = 0; count < 60; count += 1) send(1, `warm ${count}`, 0);
  while (batches.length === 0) await Bun.sleep(1);
  for (let count = 0; count < 100; count += 1) send(1, `flood ${count}`, 1000 + count);
  send(2, 'calm', 500);
  await done.promise;
  expect(batches[0]).toHaveLength(60);
  expect(batches[1]?.[0]).toBe('calm');
  expect(Math.max(...batches.slice(1).map(({ length }) => length))).toBeLessThanOrEqual(32);
  expect(batches.slice(1).flat()).toEqual([
    'calm',
    ...Array.from({ length: 100 }, (_, count) => `flood ${count}`),
  ]);
});

test('a flush writes everything that waits at once', async () => {
  const { batches, store } = slowLog();
  const committer = new Committer(store);
  const settled: string[] = [];
  for (const body of ['one', 'two', 'three'])
    committer.append(draft(1, body), 0, { settled: () => settled.push(body), published: () => undefined });
  await committer.flush();
  expect(batches).toEqual([['one', 'two', 'three']]);
  expect(settled).toEqual(['one', 'two', 'three']);
});
