// The HTTP endpoints of messages: history, and removing one.
import type { Hono } from 'hono';
import { type Authenticate, type Env, mount } from '../http/endpoint.ts';
import { chatIdFor, limits, messagesOnWire } from '../protocol/entities.ts';
import { endpoints } from '../protocol/http.ts';
import type { MessageService } from './service.ts';

export function mountMessages(app: Hono<Env>, authenticate: Authenticate, messages: MessageService): void {
  mount(app, endpoints.oldMessages, authenticate, async ({ fields, actor }) => {
    const { GROUP_ID, BEFORE, AFTER, LIMIT } = fields;
    const page = { before: BEFORE ?? null, after: AFTER ?? null, limit: LIMIT ?? limits.historyPageDefault };
    const chats = GROUP_ID
      ? [await messages.list(actor, String(GROUP_ID), page)]
      : await messages.listRecent(actor);
    return {
      message: 'OK',
      groups_messages: Object.fromEntries(
        chats.map((chat) => [chatIdFor(actor.uid, chat.ref), messagesOnWire(chat.messages)]),
      ),
    };
  });

  mount(app, endpoints.removeMessage, authenticate, async ({ fields, actor, address }) => {
    const { GROUP_ID, MESSAGE_ID } = fields;
    await messages.remove(actor, { chatId: String(GROUP_ID), seq: MESSAGE_ID }, address);
    return { message: 'Message removed' };
  });
}
