// Removing messages in SQLite: the text goes, its place stays.
import { and, eq } from 'drizzle-orm';
import { removedText } from '../protocol/entities.ts';
import type { MessageStore, Removal, RemovalOutcome } from './chat-store.ts';
import { isChat, mayManage, roleOf } from './chats.ts';
import { chats, messages } from './schema.ts';
import type { Driver, Queries } from './sqlite.ts';
import type { Emit } from './store.ts';

export function createRemoval(
  driver: Driver,
  emit: Emit,
  defaultGroupId: string,
): MessageStore['removeMessage'] {
  return (removal) =>
    driver.write(
      (tx) => remove(tx, removal, defaultGroupId),
      (outcome) => {
        if (outcome.kind === 'removed') emit({ kind: 'message_removed', message: outcome.message });
      },
      { keepsVersion: true },
    );
}

async function remove(tx: Queries, removal: Removal, defaultGroupId: string): Promise<RemovalOutcome> {
  const { uid, ref, seq, byOperator, now } = removal;
  const chat = await tx.select({ id: chats.id }).from(chats).where(isChat(uid, ref)).get();
  const role = chat && (await roleOf(tx, chat.id, uid));
  if (!chat || !(role || byOperator)) return { kind: 'no_chat' };
  const place = and(eq(messages.chatId, chat.id), eq(messages.seq, seq));
  const message = await tx
    .select({ senderUid: messages.senderUid, removedAt: messages.removedAt })
    .from(messages)
    .where(place)
    .get();
  if (!message) return { kind: 'no_message' };
  const { senderUid } = message;
  const mayModerate = ref.kind === 'group' && ref.groupId !== defaultGroupId && mayManage(role);
  if (senderUid !== uid && !mayModerate && !byOperator) return { kind: 'not_allowed' };
  if (message.removedAt !== null) return { kind: 'already' };
  await tx.update(messages).set({ body: removedText, removedAt: now }).where(place);
  return { kind: 'removed', message: { ref, viewerUid: uid, seq, senderUid } };
}
