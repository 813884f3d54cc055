// The HTTP endpoint of history.
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
}
