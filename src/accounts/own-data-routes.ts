// The HTTP endpoints of one's own data: from the wire's fields to its service, and back.
import type { Hono } from 'hono';
import { type Authenticate, type Env, mount, StreamedJson } from '../http/endpoint.ts';
import { endpoints } from '../protocol/http.ts';
import type { OwnData } from './own-data.ts';

export function mountOwnData(app: Hono<Env>, authenticate: Authenticate, ownData: OwnData): void {
  mount(app, endpoints.deleteAccount, authenticate, async ({ fields, actor, address, hold }) => {
    const { PASSWORD: password, MESSAGES: messages, TOTP: code } = fields;
    hold(true);
    await ownData.erase(actor, { password, messages, code }, address).finally(() => hold(false));
    return { message: 'The account is deleted.' };
  });

  mount(app, endpoints.exportData, authenticate, async ({ fields, actor, address }) => {
    const pieces = await ownData.export(actor, fields.PASSWORD, address);
    return new StreamedJson(pieces, `chat-data-${actor.uid}.json`);
  });
}
