// The HTTP endpoints of chats: the list, groups and their members, and blocks.
import type { Hono } from 'hono';
import { AppError } from '../errors.ts';
import { type Authenticate, type Env, mount } from '../http/endpoint.ts';
import { chatsOnWire, limits, membersOnWire, personsOnWire } from '../protocol/entities.ts';
import { endpoints } from '../protocol/http.ts';
import type { ChatService } from './service.ts';

export function mountChats(app: Hono<Env>, authenticate: Authenticate, chats: ChatService): void {
  mountGroups(app, authenticate, chats);
  mountMembers(app, authenticate, chats);
  mountBlocks(app, authenticate, chats);
}

function mountGroups(app: Hono<Env>, authenticate: Authenticate, chats: ChatService): void {
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

  mount(app, endpoints.setRetention, authenticate, async ({ fields, actor, address }) => {
    const { GROUP_ID, RETENTION_DAYS } = fields;
    const rule = { groupId: String(GROUP_ID), days: RETENTION_DAYS === 0 ? null : RETENTION_DAYS };
    const days = await chats.setRetention(actor, rule, address);
    return { message: 'Retention set', RETENTION_DAYS: days ?? 0 };
  });

  mount(app, endpoints.leaveGroup, authenticate, async ({ fields, actor }) => {
    await chats.leaveGroup(actor, String(fields.GROUP_ID));
    return { message: 'You left the group' };
  });
}

function mountMembers(app: Hono<Env>, authenticate: Authenticate, chats: ChatService): void {
  mount(app, endpoints.addMember, authenticate, async ({ fields, actor }) => {
    await chats.addMember(actor, String(fields.GROUP_ID), fields.MEMBER_UID);
    return { message: 'Member added' };
  });

  mount(app, endpoints.removeMember, authenticate, async ({ fields, actor }) => {
    await chats.removeMember(actor, String(fields.GROUP_ID), fields.MEMBER_UID);
    return { message: 'Member removed' };
  });

  mount(app, endpoints.setRole, authenticate, async ({ fields, actor, address }) => {
    const { GROUP_ID, MEMBER_UID, ROLE } = fields;
    await chats.setRole(actor, { groupId: String(GROUP_ID), memberUid: MEMBER_UID, role: ROLE }, address);
    return { message: 'Role changed' };
  });

  mount(app, endpoints.listMembers, authenticate, async ({ fields, actor }) => {
    const { GROUP_ID, AFTER, LIMIT } = fields;
    const page = { after: AFTER ?? 0, limit: LIMIT ?? limits.peoplePageMax };
    const list = await chats.listMembers(actor, String(GROUP_ID), page);
    return { message: 'OK', members: membersOnWire(list) };
  });
}

function mountBlocks(app: Hono<Env>, authenticate: Authenticate, chats: ChatService): void {
  mount(app, endpoints.blockUser, authenticate, async ({ fields, actor }) => {
    await chats.block(actor, fields.BLOCKED_UID);
    return { message: 'Person blocked' };
  });

  mount(app, endpoints.unblockUser, authenticate, async ({ fields, actor }) => {
    await chats.unblock(actor, fields.BLOCKED_UID);
    return { message: 'Person no longer blocked' };
  });

  mount(app, endpoints.listBlocked, authenticate, async ({ actor }) => ({
    message: 'OK',
    users: personsOnWire(await chats.listBlocked(actor)),
  }));
}
