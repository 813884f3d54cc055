// The client's order of a chat: what was removed while it was on its way comes through as removed.
import { expect, test } from 'bun:test';
import { ChatLog, type ChatMessage } from '../../src/client/chat-log.ts';

const said = (id: number): ChatMessage => ({
  groupId: '1',
  id,
  senderUid: 2,
  senderName: 'Alice Tester',
  message: `text ${id}`,
  removed: false,
  picture: '',
  sentAt: '2026-01-01T00:00:00.000Z',
});

function follow(): { log: ChatLog; seen: [string, boolean][] } {
  const seen: [string, boolean][] = [];
  const log = new ChatLog(0, ({ message, removed }) => seen.push([message, removed]));
  return { log, seen };
}

test('a removal that comes before the message, or while it is held, is not undone by its old text', () => {
  const { log, seen } = follow();
  log.take(said(2));
  log.remove(2, 'gone');
  log.remove(1, 'gone');
  expect(seen).toEqual([]);
  for (const id of [1, 3]) log.take(said(id));
  expect(seen).toEqual([
    ['gone', true],
    ['gone', true],
    ['text 3', false],
  ]);
});

test('a removal of what was let through, or given up, changes nothing that follows', () => {
  const { log, seen } = follow();
  log.take(said(1));
  log.remove(1, 'gone');
  log.remove(2, 'gone');
  log.skipTo(4);
  log.take(said(4));
  expect(seen).toEqual([
    ['text 1', false],
    ['text 4', false],
  ]);
});
