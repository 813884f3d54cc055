// The client's end of the wire: from the contract's fields to its own, and HTTP with a bearer token.
import type { ChatMessage } from './chat-log.ts';

export type Json = Record<string, unknown>;

/** The message of a `send_message` push or reply. */
export function messageOf(data: Json): ChatMessage {
  return messageAt(String(data.GROUP_ID), Number(data.MESSAGE_ID), data);
}

/** The messages of one chat in an answer of `get_old_messages`, ascending. */
export function pageOf(groupId: string, body: Json): ChatMessage[] {
  const chats = body.groups_messages as Record<string, Record<string, Json>>;
  return Object.values(chats)
    .flatMap((messages) => Object.entries(messages))
    .map(([id, fields]) => messageAt(groupId, Number(id), fields))
    .sort((one, other) => one.id - other.id);
}

function messageAt(groupId: string, id: number, data: Json): ChatMessage {
  return {
    groupId,
    id,
    senderUid: Number(data.SENDER_ID),
    senderName: String(data.SENDER_NAME),
    message: String(data.MESSAGE),
    removed: data.REMOVED === true,
    picture: String(data.PROFILE_PIC),
    sentAt: String(data.TIME_STAMP),
  };
}

/** @throws Error when the answer is not 2xx */
export async function getJson(
  server: { url: string; token: string },
  path: string,
  body: Json,
): Promise<Json> {
  const response = await fetch(server.url.replace(/\/$/, '') + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${server.token}` },
    body: JSON.stringify(body),
  });
  const answer = (await response.json()) as Json;
  if (!response.ok) throw new Error(`${path}: ${response.status} ${String(answer.message)}`);
  return answer;
}
