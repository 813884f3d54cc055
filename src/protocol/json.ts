// Reading the JSON that strangers send.
import { limits } from './entities.ts';

/**
 * What a JSON text says; undefined when it is not JSON or is nested deeper than anything of ours, which could only be
 * meant to exhaust the stack of whatever walks it.
 * @see https://owasp.org/API-Security/editions/2023/en/0xa4-unrestricted-resource-consumption/
 */
export function readJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isShallow(value, limits.jsonDepth) ? value : undefined;
  } catch {
    return undefined; // JSON.parse says by an exception that it is not JSON
  }
}

function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (levels === 0) return false;
  for (const key in value) {
    if (!isShallow((value as Record<string, unknown>)[key], levels - 1)) return false;
  }
  return true;
}
