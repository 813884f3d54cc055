// Frames: what one asks, and the parts of its answer that are made by hand.
import { AppError } from '../errors.ts';
import { wireTime } from '../protocol/entities.ts';
import { readJson } from '../protocol/json.ts';
import { envelope } from '../protocol/socket.ts';

/** The JSON of a reply to a sender, GROUP_ID spelled as it was sent. */
export function acknowledgement(groupId: string | number, fields: string, duplicate: boolean): string {
  const repeated = duplicate ? '"DUPLICATE":true,' : '';
  return `{"status_code":200,${repeated}${fields},"GROUP_ID":${JSON.stringify(groupId)}}`;
}

/** A frame as it was understood. */
export interface Question {
  readonly event: string;
  readonly id?: string | number | null | undefined;
  readonly data: Record<string, unknown>;
}

export const unreadable: Question = { event: 'error', data: {} };

/** Null when it is not JSON or not an envelope, which is the same to whoever sent it. */
export function readQuestion(frame: string): Question | null {
  const { success, data: read } = envelope.safeParse(readJson(frame));
  return success ? { event: read.event, id: read.id, data: read.data ?? {} } : null;
}

export function invalidFields(
  issue: { path: PropertyKey[]; message: string } | undefined,
  status: 400 | 401,
): AppError {
  const message = `${String(issue?.path[0] ?? 'data')} ${issue?.message ?? 'is not valid'}.`;
  return new AppError(status === 401 ? 'unauthenticated' : 'invalid', message);
}

/** The data of a frame that refuses. @param now ms since the epoch */
export function refusalOf({ event, data }: Question, error: AppError, now: number): Record<string, unknown> {
  const refusal = { status_code: error.status, message: error.message };
  if (event !== 'send_message') return refusal;
  const { GROUP_ID: groupId } = data;
  // The client in use shows this in the open chat; otherwise the person would never know.
  const notice = {
    SENDER_ID: 0,
    SENDER_NAME: 'Server',
    GROUP_ID: typeof groupId === 'number' || typeof groupId === 'string' ? groupId : '',
    MESSAGE: `Not sent. ${error.message}`,
    MESSAGE_ID: 0,
    TIME_STAMP: wireTime(now),
  };
  return { ...refusal, content: notice };
}
