// Whoever runs the server, for tests: calls the endpoints behind the admin key and holds them to the contract.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { endpoints } from '../../src/protocol/http.ts';
import { call } from './people.ts';
import type { Answer, TestServer } from './server.ts';

/** The key that the server made at its first start. */
export function adminKey(server: TestServer): string {
  return readFileSync(join(server.dataDir, 'admin.key'), 'utf8').trim();
}

export function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

/** Calls an endpoint with the admin key. */
export function asAdmin(
  server: TestServer,
  name: keyof typeof endpoints,
  body: unknown = {},
): Promise<Answer> {
  return call(server, name, body, bearer(adminKey(server)));
}

/** The audit log's newest entries as `KIND UID ACTOR DETAIL`, oldest first, without those of these kinds. */
export async function auditLines(server: TestServer, without: readonly string[] = []): Promise<string[]> {
  const { body } = await asAdmin(server, 'adminAudit');
  const entries: { KIND: string; UID: number | null; ACTOR: string; DETAIL: string }[] = body.entries;
  return entries
    .filter(({ KIND }) => !without.includes(KIND))
    .map(({ KIND, UID, ACTOR, DETAIL }) => `${KIND} ${UID} ${ACTOR} ${DETAIL}`)
    .reverse();
}
