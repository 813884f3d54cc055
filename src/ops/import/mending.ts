// How fields of the old server become such as ours may be: what is right stays, what can be mended is, the rest goes.
import type { z } from 'zod';
import { limits } from '../../protocol/entities.ts';
import * as field from '../../protocol/fields.ts';
import { decodeText, deliverableText, encodeText } from '../../protocol/text.ts';

export interface Mended<Value> {
  readonly value: Value;
  /** Whether it is another one than it was; blanks around it do not count. */
  readonly isMended: boolean;
}

/** The name of somebody who has none. */
const nobody = 'Unknown';

function pick<Value>(schema: z.ZodType<Value>, candidates: readonly unknown[], last: Value): Mended<Value> {
  for (const [index, candidate] of candidates.entries()) {
    const read = schema.safeParse(candidate);
    if (read.success) return { value: read.data, isMended: index > 0 };
  }
  return { value: last, isMended: true };
}

function cut(text: string, codePoints: number): string {
  return [...text].slice(0, codePoints).join('');
}

export function mendPersonName(text: string | null): Mended<string> {
  const allowed = (text ?? '')
    .normalize('NFC')
    .replace(/[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}]/gu, '')
    .replace(/[^\p{L}\p{M}'’.-]+/gu, ' ')
    .trim();
  return pick(field.personName, [text, cut(allowed, limits.nameCodePoints)], nobody);
}

export function mendGroupName(text: string | null): Mended<string> {
  const shown = (text ?? '').replace(/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]+/gu, ' ').trim();
  return pick(field.groupName, [text, cut(shown, limits.groupNameCodePoints)], 'Group');
}

export function mendPicture(text: string | null): Mended<string> {
  return pick(field.picture, [text ?? ''], '');
}

export function mendPhone(text: string | null): Mended<string> {
  return pick(field.phone, [text ?? '', text?.replace(/[\s().-]/g, '')], '');
}

export function mendBirthDate(text: string | null): Mended<string | null> {
  if (!text?.trim()) return { value: null, isMended: false };
  return pick<string | null>(field.dateOfBirth, [text], null);
}

/** ms since the epoch of `YYYY-MM-DD HH:MM:SS` in UTC, or of ISO 8601; null for anything else and for what is to come. */
export function readTime(text: string | null, now: number): number | null {
  const [, day, time] =
    /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2}(?:\.\d+)?)(?:Z|\+00:00)?$/.exec(text ?? '') ?? [];
  const ms = Math.trunc(Date.parse(`${day}T${time}Z`));
  return ms >= 0 && ms <= now ? ms : null;
}

/** What may be said in one message each, in order; none when nothing is said. */
export function mendText(text: string): { readonly bodies: readonly string[]; readonly isEncoded: boolean } {
  const body = deliverableText(text);
  const isEncoded = body !== text.toWellFormed();
  if (body.length <= limits.messageCodePoints) return { bodies: isSaid(body) ? [body] : [], isEncoded };
  const said = [...(decodeText(body) ?? '')];
  if (said.length <= limits.messageCodePoints) return { bodies: [body], isEncoded };
  const bodies: string[] = [];
  for (let at = 0; at < said.length; at += limits.messageCodePoints) {
    const part = said.slice(at, at + limits.messageCodePoints).join('');
    bodies.push(body[1] === ':' ? encodeText(part) : deliverableText(part));
  }
  return { bodies, isEncoded };
}

function isSaid(body: string): boolean {
  return body !== '' && body !== 'h:' && !/^u:={0,2}$/.test(body);
}
