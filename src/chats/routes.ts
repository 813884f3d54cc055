// The HTTP endpoints of chats: the list, and groups.
import type { Hono } from 'hono';
import { AppError } from '../errors.ts';
import { type Authenticate, type Env, mount } from '../http/endpoint.ts';
import { chatsOnWire } from '../protocol/entities.ts';
import { endpoints } from '../protocol/http.ts';
import type { ChatService } from './service.ts';

export function mountChats(app: Hono<Env>, authenticate: Authenticate, chats: ChatService): void {
  mount(app, endpoints.listChats, authenticate, async ({ actor }) => {
    const list = await chats.list(actor);
    if (list.length === 0) throw new AppError('not_found', 'There are no chats.');
    return { message: 'OK', chats: chatsOnWire(actor.uid, list) };
  });

  mount(app, endpoints.createGroup, authenticate, async ({ fields, actor }) => {
    const { NAME, PROFILE_PIC, MEMBERS } = fields;
    const group = { name: NAME, picture: PROFILE_PIC ?? '', memberUids: MEMBERS ?? [] };
    return { message: 'Group made', GROUP_ID: await chats.createGroup(actor, group) };
  });

  mount(app, endpoints.addMember, authenticate, async ({ fields, actor }) => {
    await chats.addMember(actor, String(fields.GROUP_ID), fields.MEMBER_UID);
    return { message: 'Member added' };
  });

  mount(app, endpoints.removeMember, authenticate, async ({ fields, actor }) => {
    await chats.removeMember(actor, String(fields.GROUP_ID), fields.MEMBER_UID);
    return { message: 'Member removed' };
  });

  mount(app, endpoints.leaveGroup, authenticate, async ({ fields, actor }) => {
    await chats.leaveGroup(actor, String(fields.GROUP_ID));
    return { message: 'You left the group' };
  });
}
