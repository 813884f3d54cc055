// Groups and who is in them: the rules.
import { randomInt } from 'node:crypto';
import type { Actor } from '../actor.ts';
import { AppError, type ErrorCode } from '../errors.ts';
import { type ChatView, readChatId } from '../protocol/entities.ts';
import type { ChatStore, MarkStore, MemberOutcome } from '../store/store.ts';

interface ChatDeps {
  readonly store: ChatStore & MarkStore;
  readonly clock: () => number;
}

const refusals: Record<Exclude<MemberOutcome, 'done'>, readonly [ErrorCode, string]> = {
  no_group: ['not_found', 'There is no such group.'],
  no_person: ['not_found', 'There is no such person.'],
  not_allowed: ['forbidden', 'You may not do this in this group.'],
  already: ['conflict', 'This person is a member already.'],
  not_member: ['conflict', 'This person is not a member.'],
};

export class ChatService {
  constructor(private readonly deps: ChatDeps) {}

  /** The actor's chats, most recently active first; may be empty. */
  list(actor: Actor): Promise<ChatView[]> {
    return this.deps.store.listChats(actor.uid);
  }

  /**
   * Makes a group with the actor as its owner; returns its id.
   * @throws AppError `not_found` when one of the members does not exist
   */
  async createGroup(
    actor: Actor,
    group: { name: string; picture: string; memberUids: readonly number[] },
  ): Promise<string> {
    for (;;) {
      const groupId = newGroupId();
      const outcome = await this.deps.store.createGroup(actor.uid, {
        ...group,
        groupId,
        now: this.deps.clock(),
      });
      if (outcome === 'no_person') throw new AppError(...refusals.no_person);
      if (outcome === 'created') return groupId;
    }
  }

  /** @throws AppError `forbidden` not owner or admin; `not_found` no such group or person; `conflict` a member already */
  async addMember(actor: Actor, groupId: string, memberUid: number): Promise<void> {
    assertDone(await this.deps.store.addMember(actor.uid, groupId, memberUid, this.deps.clock()));
  }

  /** @throws AppError `forbidden` not owner or admin; `not_found` no such group or person; `conflict` not a member */
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

  /** @throws AppError `not_found` none of the actor's groups; `forbidden` the default group */
  async leaveGroup(actor: Actor, groupId: string): Promise<void> {
    assertDone(await this.deps.store.leaveGroup(actor.uid, groupId));
  }
}

function assertDone(outcome: MemberOutcome): void {
  if (outcome !== 'done') throw new AppError(...refusals[outcome]);
}

/** 13 random digits without a 0: JSON.parse keeps such keys in their order, and they occur in no direct chat's id. */
function newGroupId(): string {
  return Array.from({ length: 13 }, () => randomInt(1, 10)).join('');
}
