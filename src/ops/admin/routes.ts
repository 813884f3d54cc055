// The HTTP endpoints behind the admin key: from the wire's fields to the service and the store, and back.
import type { Hono } from 'hono';
import type { z } from 'zod';
import { type Answer, type Env, readBody, readFields } from '../../http/endpoint.ts';
import type { Endpoint } from '../../protocol/endpoint.ts';
import { limits, wireTime } from '../../protocol/entities.ts';
import { endpoints } from '../../protocol/http.ts';
import type { AccountSummary, AdminStore, GroupSummary } from '../../store/admin-store.ts';
import type { AuditStore } from '../../store/store.ts';
import { type AdminGuard, bearerOf } from './key.ts';
import type { ActingAdmin, AdminService } from './service.ts';

export interface AdminRoutesDeps {
  readonly guard: AdminGuard;
  readonly service: AdminService;
  readonly store: AdminStore & AuditStore;
}

type Handler<E extends Endpoint> = (fields: z.output<E['request']>, by: ActingAdmin) => Promise<Answer<E>>;

export function mountAdmin(app: Hono<Env>, { guard, service, store }: AdminRoutesDeps): void {
  /** The key is asked for before the body is read: whoever has none learns nothing of what is wrong with it. */
  const mount = <E extends Endpoint>(endpoint: E, handler: Handler<E>): void => {
    app.on(endpoint.method, endpoint.path, async (context) => {
      const { address } = context.env;
      await guard(bearerOf(context.req.header('authorization')), address, endpoint.path);
      const fields = readFields(await readBody(context, endpoint), endpoint) as z.output<E['request']>;
      return context.json(await handler(fields, { actor: 'admin', address }));
    });
  };
  mountAccounts(mount, service);
  mountMessages(mount, service);
  mountLists(mount, store);
  mount(endpoints.adminInvite, async ({ USES, DAYS }, by) => {
    const { code, expiresAt } = await service.invite(USES, DAYS, by);
    return {
      message: 'Hand this code on, it is not shown again.',
      CODE: code,
      EXPIRES_ON: wireTime(expiresAt),
    };
  });
}

type Mount = <E extends Endpoint>(endpoint: E, handler: Handler<E>) => void;

function mountAccounts(mount: Mount, service: AdminService): void {
  mount(endpoints.adminVerify, async ({ MEMBER_UID }, by) => {
    await service.verify(MEMBER_UID, by);
    return { message: 'Account verified' };
  });

  mount(endpoints.adminBan, async ({ MEMBER_UID, REASON }, by) => {
    await service.ban(MEMBER_UID, REASON ?? '', by);
    return { message: 'Account banned' };
  });

  mount(endpoints.adminUnban, async ({ MEMBER_UID }, by) => {
    await service.unban(MEMBER_UID, by);
    return { message: 'Account unbanned' };
  });

  mount(endpoints.adminEndSessions, async ({ MEMBER_UID }, by) => {
    const ended = await service.endSessions(MEMBER_UID, by);
    return { message: 'Logged out everywhere', SESSIONS: ended };
  });
}

function mountMessages(mount: Mount, service: AdminService): void {
  mount(endpoints.adminRemoveMessage, async ({ GROUP_ID, MESSAGE_ID }, by) => {
    await service.removeMessage(String(GROUP_ID), MESSAGE_ID, by);
    return { message: 'Message removed' };
  });
}

function mountLists(mount: Mount, store: AdminStore & AuditStore): void {
  mount(endpoints.adminUsers, async ({ QUERY, AFTER, LIMIT }) => {
    const page = { prefix: QUERY ?? '', after: AFTER ?? 0, limit: LIMIT ?? limits.adminPageDefault };
    return { message: 'OK', users: (await store.listAccounts(page)).map(accountOnWire) };
  });

  mount(endpoints.adminGroups, async ({ AFTER, LIMIT }) => {
    const page = { after: String(AFTER ?? ''), limit: LIMIT ?? limits.adminPageDefault };
    return { message: 'OK', groups: (await store.listGroups(page)).map(groupOnWire) };
  });

  mount(endpoints.adminInvitations, async () => {
    const invitations = (await store.listInvitations()).map(({ id, usesLeft, createdAt, expiresAt }) => ({
      ID: id,
      USES_LEFT: usesLeft,
      CREATED_ON: wireTime(createdAt),
      EXPIRES_ON: wireTime(expiresAt),
    }));
    return { message: 'OK', invitations };
  });

  mount(endpoints.adminAudit, async ({ MEMBER_UID, BEFORE, LIMIT }) => {
    const page = { uid: MEMBER_UID ?? null, before: BEFORE ?? null, limit: LIMIT ?? limits.adminPageDefault };
    const entries = (await store.listAudit(page)).map(({ id, at, kind, uid, actor, address, detail }) => ({
      ID: id,
      TIME_STAMP: wireTime(at),
      KIND: kind,
      UID: uid,
      ACTOR: actor,
      ADDRESS: address,
      DETAIL: detail,
    }));
    return { message: 'OK', entries };
  });
}

/** An account as the admin endpoint and the command show it. */
export function accountOnWire(account: AccountSummary) {
  return {
    UID: account.uid,
    NAME: account.name,
    EMAIL: account.email,
    CREATED_ON: wireTime(account.createdAt),
    VERIFIED: account.verified,
    BANNED: account.banned,
    BAN_REASON: account.banReason,
    SESSIONS: account.sessions,
  };
}

function groupOnWire(group: GroupSummary) {
  return {
    GROUP_ID: group.groupId,
    NAME: group.name,
    CREATION_DATE: wireTime(group.createdAt),
    MEMBERS: group.members,
    OWNER_UID: group.ownerUid,
    LAST_MESSAGE_ID: group.lastSeq,
    LAST_MESSAGE_TIME: group.lastMessageAt === null ? null : wireTime(group.lastMessageAt),
  };
}
