// Groups, who is what in them, and who has blocked whom: the rules.
import { randomInt } from 'node:crypto';
import type { Actor } from '../actor.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import type { Limiter } from '../infra/limiter.ts';
import { type ChatView, limits, type Role, readChatId } from '../protocol/entities.ts';
import type {
  BlockStore,
  ChatStore,
  MarkStore,
  Member,
  MemberOutcome,
  Person,
  RetentionStore,
  RoleOutcome,
} from '../store/chat-store.ts';
import type { Note } from '../store/store.ts';

interface ChatDeps {
  readonly store: ChatStore & MarkStore & BlockStore & Pick<RetentionStore, 'setRetention'>;
  readonly note: Note;
  readonly limiter: Limiter;
  /** After how many days messages are removed in every chat, unless its own rule says sooner; null for never. */
  readonly retentionDays: number | null;
  readonly clock: () => number;
}

const refusals: Record<Exclude<MemberOutcome, 'done'>, readonly [ErrorCode, string]> = {
  no_group: ['not_found', 'There is no such group.'],
  no_person: ['not_found', 'There is no such person.'],
  not_allowed: ['forbidden', 'You may not do this in this group.'],
  already: ['conflict', 'This person is a member already.'],
  not_member: ['conflict', 'This person is not a member.'],
  full: ['conflict', `This person is in ${limits.groupMemberships} groups; more are not allowed.`],
};
const groupRefusals: Record<'no_person' | 'owns_most' | 'full', readonly [ErrorCode, string]> = {
  no_person: refusals.no_person,
  owns_most: ['conflict', `You own ${limits.groupsOwned} groups; more are not allowed.`],
  full: [
    'conflict',
    `You, or one of these people, are in ${limits.groupMemberships} groups; more are not allowed.`,
  ],
};
const roleRefusals: Record<Exclude<RoleOutcome, 'done'>, readonly [ErrorCode, string]> = {
  ...refusals,
  already: ['conflict', 'This person has that role already.'],
  owner_stays: ['forbidden', 'A group has an owner: make somebody else its owner instead.'],
};

export class ChatService {
  constructor(private readonly deps: ChatDeps) {}

  /** The actor's chats, most recently active first; may be empty. */
  async list(actor: Actor): Promise<ChatView[]> {
    const chats = await this.deps.store.listChats(actor.uid);
    return chats.map((chat) => ({ ...chat, retentionDays: this.#shorter(chat.retentionDays) }));
  }

  /**
   * Makes a group with the actor as its owner; returns its id.
   * @throws AppError `not_found` when one of the members, or the actor by now, does not exist, or there is a block between
   *   them; `conflict` when he owns, or one of them is in, as many groups as one may; `rate_limited`
   */
  async createGroup(
    actor: Actor,
    group: { name: string; picture: string; memberUids: readonly number[] },
  ): Promise<string> {
    await this.#spend(actor, group.memberUids.length);
    for (;;) {
      const groupId = newGroupId();
      const outcome = await this.deps.store.createGroup(actor.uid, {
        ...group,
        groupId,
        now: this.deps.clock(),
      });
      if (outcome === 'created') return groupId;
      if (outcome !== 'id_taken') throw new AppError(...groupRefusals[outcome]);
    }
  }

  /**
   * @throws AppError `forbidden` not owner or admin; `not_found` none of the actor's groups, or no such person, or a block
   *   is between them; `conflict` a member already, or in as many groups as one may; `rate_limited`
   */
  async addMember(actor: Actor, groupId: string, memberUid: number): Promise<void> {
    await this.#spend(actor, 1);
    assertDone(await this.deps.store.addMember(actor.uid, groupId, memberUid, this.deps.clock()));
  }

  /**
   * @throws AppError `forbidden` not owner or admin; `not_found` none of the actor's groups, or no such person;
   *   `conflict` not a member
   */
  async removeMember(actor: Actor, groupId: string, memberUid: number): Promise<void> {
    assertDone(await this.deps.store.removeMember(actor.uid, groupId, memberUid));
  }

  /** Moves the read mark forward and returns it. @throws AppError `forbidden` when the chat is none of the actor's */
  async markRead(actor: Actor, chatId: string, seq: number): Promise<number> {
    const ref = readChatId(chatId, actor.uid);
    const mark = ref && (await this.deps.store.markRead(actor.uid, ref, seq));
    if (mark === null) throw new AppError('forbidden', 'You are not a member of this chat.');
    return mark;
  }

  /**
   * Gives a member a role; `owner` hands the group over.
   * @param address where the request came from, for the audit log
   * @throws AppError `forbidden` not the owner; `not_found` none of the actor's groups, or no such person; `conflict`
   *   has that role already, or is not a member
   */
  async setRole(
    actor: Actor,
    { groupId, memberUid, role }: { groupId: string; memberUid: number; role: Role },
    address: string,
  ): Promise<void> {
    const { store, note } = this.deps;
    const outcome = await store.setRole(actor.uid, groupId, memberUid, role);
    if (outcome !== 'done') throw new AppError(...roleRefusals[outcome]);
    await note({
      kind: 'role_changed',
      uid: memberUid,
      address,
      detail: `${role} of group ${groupId}, by ${actor.uid}`,
    });
  }

  /**
   * Sets after how many days messages of a group are removed, null for no rule of its own; returns what then holds.
   * @param address where the request came from, for the audit log
   * @throws AppError `forbidden` not owner or admin; `not_found` none of the actor's groups
   */
  async setRetention(
    { uid }: Actor,
    { groupId, days }: { groupId: string; days: number | null },
    address: string,
  ): Promise<number | null> {
    const outcome = await this.deps.store.setRetention(uid, groupId, days);
    if (outcome !== 'done') throw new AppError(...refusals[outcome]);
    const detail = `${days ?? 'no'} days in group ${groupId}`;
    await this.deps.note({ kind: 'retention_changed', uid, address, detail });
    return this.#shorter(days);
  }

  /** Members by ascending number. @throws AppError `not_found` none of the actor's groups */
  async listMembers(
    actor: Actor,
    groupId: string,
    page: { after: number; limit: number },
  ): Promise<Member[]> {
    const list = await this.deps.store.listMembers(actor.uid, groupId, page);
    if (!list) throw new AppError(...refusals.no_group);
    return list;
  }

  /** @throws AppError `invalid` oneself; `not_found` no such person; `conflict` blocked already */
  async block(actor: Actor, uid: number): Promise<void> {
    assertAnother(actor, uid);
    const outcome = await this.deps.store.block(actor.uid, uid, this.deps.clock());
    if (outcome === 'no_person') throw new AppError(...refusals.no_person);
    if (outcome === 'already') throw new AppError('conflict', 'You have blocked this person already.');
  }

  /** @throws AppError `invalid` oneself; `not_found` no such person; `conflict` not blocked */
  async unblock(actor: Actor, uid: number): Promise<void> {
    assertAnother(actor, uid);
    const outcome = await this.deps.store.unblock(actor.uid, uid);
    if (outcome === 'no_person') throw new AppError(...refusals.no_person);
    if (outcome === 'not_blocked') throw new AppError('conflict', 'You have not blocked this person.');
  }

  /** Whom the actor has blocked; may be empty. */
  listBlocked(actor: Actor): Promise<Person[]> {
    return this.deps.store.listBlocked(actor.uid);
  }

  /** @throws AppError `not_found` none of the actor's groups; `forbidden` the default group */
  async leaveGroup(actor: Actor, groupId: string): Promise<void> {
    assertDone(await this.deps.store.leaveGroup(actor.uid, groupId));
  }

  /** A group can only shorten what holds for all. */
  #shorter(days: number | null): number | null {
    const { retentionDays: most } = this.deps;
    return days !== null && most !== null ? Math.min(days, most) : (days ?? most);
  }

  /** Counts people whom the actor wants in a group, also in vain: naming numbers must not be a cheap way to try them. */
  async #spend(actor: Actor, people: number): Promise<void> {
    if (people > 0) await this.deps.limiter.consume('addedPeopleByAccount', String(actor.uid), people);
  }
}

function assertDone(outcome: MemberOutcome): void {
  if (outcome !== 'done') throw new AppError(...refusals[outcome]);
}

function assertAnother(actor: Actor, uid: number): void {
  if (uid === actor.uid) throw new AppError('invalid', 'BLOCKED_UID is your own number.');
}

/** 13 random digits without a 0: JSON.parse keeps such keys in their order, and they occur in no direct chat's id. */
export function newGroupId(): string {
  return Array.from({ length: 13 }, () => randomInt(1, 10)).join('');
}
