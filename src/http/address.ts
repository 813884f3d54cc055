// Whose address a request counts for: the peer's, or what a trusted proxy says of it.
import { type BlockList, isIP } from 'node:net';
import { canonicalAddress } from '../infra/network.ts';

/**
 * The client's address. `X-Forwarded-For` is believed only from trusted proxies, and of it the right-most entry that is
 * not itself a trusted proxy: everything left of that is the client's own claim. An entry that is no address ends the
 * search, so that nobody gets a count of his own by claiming nonsense.
 * @see https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For#selecting_an_ip_address
 */
export function clientAddress(
  peer: string,
  forwardedFor: string | null,
  trusted: BlockList | undefined,
): string {
  let address = canonicalAddress(peer);
  if (!trusted || forwardedFor === null) return address;
  const claims = forwardedFor.split(',').map(readClaim);
  while (isTrusted(address, trusted)) {
    const claim = claims.pop();
    if (claim === undefined || isIP(claim) === 0) break;
    address = claim;
  }
  return address;
}

/** Whether an address, as `canonicalAddress` spells it, is one of the trusted proxies'. */
export function isTrusted(address: string, trusted: BlockList): boolean {
  const version = isIP(address);
  return version !== 0 && trusted.check(address, version === 4 ? 'ipv4' : 'ipv6');
}

/** Some proxies add the port, and then write IPv6 in brackets. */
function readClaim(claim: string): string {
  const text = claim.trim();
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d{1,5})?$/.exec(text) ?? [];
  return canonicalAddress(bracketed ?? plain ?? text);
}
